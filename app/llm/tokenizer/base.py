"""What every tokenizer can do, and the token it hands out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text.

    `start` and `end` count Unicode code points of the text as given, start < end. Tokens that share a
    character all carry that character's whole span. `bytes` are exact: for byte-level tokenizers those of
    all tokens join to the text's UTF-8; for word tokenizers they are those of the span.
    """

    id: int
    bytes: bytes
    start: int
    end: int
    special: bool

    @property
    def text(self) -> str:
        """The bytes as text, U+FFFD only where they are no UTF-8."""
        return self.bytes.decode("utf-8", errors="replace")


class TextStream(Protocol):
    """Ids in, whole characters out."""

    def push(self, token_id: int) -> str:
        """The text that is certain once this token is known; "" while a character is cut in two."""

    def flush(self) -> str:
        """What is left at the end: U+FFFD for bytes that never became a character."""


class Tokenizer(Protocol):
    """Text to ids and back. Immutable, safe to share between threads."""

    @property
    def kind(self) -> Literal["word", "bpe"]: ...

    @property
    def vocab_size(self) -> int:
        """Ids are 0..vocab_size - 1."""

    @property
    def special_tokens(self) -> Mapping[str, int]: ...

    @property
    def eos_id(self) -> int | None:
        """The id that ends a text (`<|endoftext|>`, or a chat model's end of turn), if there is one."""

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Ids of `text`; special tokens in it are plain text unless `parse_special`.

        Raises:
            UnknownToken: a word tokenizer without `<|unk|>` met a new word.
            UntokenizableText: the splitting pattern gives up on this text.
            UnicodeEncodeError: a lone surrogate, which UTF-8 cannot hold.
        """

    def walk(self, text: str, ids: Sequence[int]) -> Iterator[Token]:
        """The tokens of `text` one by one, without holding them all; `ids` are what `encode` gave for it."""

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[Token]:
        """As `encode`, with each token's span and bytes."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of `ids`, U+FFFD where bytes are no UTF-8.

        Raises:
            TokenIdOutOfRange: an id is outside the vocabulary.
        """

    def token_bytes(self, token_id: int) -> bytes:
        """The token's own bytes (a word's UTF-8 for word tokenizers).

        Raises:
            TokenIdOutOfRange: the id is outside the vocabulary.
        """

    def stream(self) -> TextStream:
        """A fresh incremental decoder."""
