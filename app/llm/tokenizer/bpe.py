"""Byte-pair tokenizers on tiktoken's encodings (chapter 2, section 2.5). Knows no files: see tiktoken_data."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Final

import regex
from tiktoken import Encoding

from app.llm.errors import TokenIdOutOfRange, UntokenizableText
from app.llm.tokenizer.base import TextStream, Token
from app.llm.tokenizer.spans import byte_spans, spans_with_gaps
from app.llm.tokenizer.stream import ByteStream

GPT2_PATTERN = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
"""How GPT-2 splits text before it merges: contractions, words, numbers, signs, white space."""

# tiktoken's regex engine keeps a stack entry for each character of white space, and panics at a million.
# Looked for from the begin of a run alone: from every place in it, a run of half the length takes minutes.
_LONG_SPACE = re.compile(r"(?<!\s)\s{500000}")


class BytePairTokenizer:
    """Ids for pieces of bytes: any text has ids, and the bytes of its tokens join to its UTF-8 again.

    Unless the vocabulary lacks some bytes, as those in GGUF files may: these are dropped from the text, as the
    library that such vocabularies come from drops them.

    Args:
        encoding: the ranks, the splitting pattern and the special tokens.
        eos_id: the id that ends a text, if there is one.
        vocab_size: the encoding's ids from here on stand for bytes that are not in the vocabulary; None: all are.
    """

    kind: Final = "bpe"

    def __init__(self, encoding: Encoding, *, eos_id: int | None, vocab_size: int | None = None) -> None:
        self._encoding = encoding
        self._specials = {name: encoding.encode_single_token(name) for name in sorted(encoding.special_tokens_set)}
        self._ranks: Mapping[bytes, int] = encoding._mergeable_ranks
        self._special_ids = frozenset(self._specials.values())
        self._bytes = [_bytes_of(encoding, token_id) for token_id in range(vocab_size or encoding.n_vocab)]
        single = {byte: encoding.encode_single_token(bytes([byte])) for byte in range(256)}
        self._missing = frozenset(byte for byte, token_id in single.items() if token_id >= len(self._bytes))
        self._present = bytes(single.keys() - self._missing)
        self._eos_id = eos_id

    @property
    def vocab_size(self) -> int:
        return len(self._bytes)

    @property
    def pattern(self) -> str:
        """The rule by which a text is split before pieces are merged."""
        return str(self._encoding._pat_str)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        return self._specials

    @property
    def eos_id(self) -> int | None:
        return self._eos_id

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Ids of `text`; special tokens in it are plain text unless `parse_special`.

        Other threads run meanwhile, however long the text is.

        Raises:
            UntokenizableText: the splitting pattern gives up on this text.
            UnicodeEncodeError: a lone surrogate, which tiktoken would silently replace.
        """
        try:
            if self._lacks_bytes_of(text) or _LONG_SPACE.search(text):
                return list(self._encode_by_pieces(text, parse_special))
            if parse_special:
                return self._encoding.encode(text, allowed_special="all", disallowed_special=())
            return self._encoding.encode_ordinary(text)
        except BaseException as error:
            # A panic in tiktoken's Rust is no Exception, and its class has no importable name.
            if type(error).__name__ != "PanicException":
                raise
            raise UntokenizableText(f"{self._encoding.name} cannot split this text: {error}") from error

    def walk(self, text: str, ids: Sequence[int]) -> Iterator[Token]:
        pieces = (self._bytes[token_id] for token_id in ids)
        spans = spans_with_gaps(text, pieces, self._missing) if self._lacks_bytes_of(text) else byte_spans(pieces)
        for token_id, (start, end) in zip(ids, spans, strict=True):
            yield Token(token_id, self._bytes[token_id], start, end, token_id in self._special_ids)

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[Token]:
        return list(self.walk(text, self.encode(text, parse_special=parse_special)))

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join([self.token_bytes(token_id) for token_id in ids]).decode("utf-8", errors="replace")

    def token_bytes(self, token_id: int) -> bytes:
        """The token's bytes; none for an id inside the vocabulary that its encoding leaves unused."""
        if not 0 <= token_id < len(self._bytes):
            raise TokenIdOutOfRange(token_id, len(self._bytes))
        return self._bytes[token_id]

    def stream(self) -> TextStream:
        return ByteStream(self.token_bytes)

    def words(self, text: str) -> Iterator[tuple[int, int, bytes]]:
        """What `text` is split into before anything merges: start and end in code points, and the bytes that merge.

        Special tokens in it are plain text. Bytes that the vocabulary lacks are left out.
        """
        missing = bytes(self._missing)
        for match in regex.finditer(self._encoding._pat_str, text):
            kept = match.group().encode().translate(None, missing)
            if kept:
                yield match.start(), match.end(), kept

    def id_of(self, token: bytes) -> int | None:
        """The id of a token that is no special one; None if there is no such token."""
        token_id = self._ranks.get(token)
        return token_id if token_id is None or token_id < len(self._bytes) else None

    def merge_rank(self, token_id: int) -> int:
        """How many merges were learnt before the one that makes this token."""
        return bisect_left(self._merged_ids, token_id)

    @cached_property
    def _merged_ids(self) -> list[int]:
        return sorted(token_id for token, token_id in self._ranks.items() if len(token) > 1)

    def _lacks_bytes_of(self, text: str) -> bool:
        return bool(text.encode().translate(None, self._present))

    def _encode_by_pieces(self, text: str, parse_special: bool) -> Iterator[int]:
        """What tiktoken does, with the splitting done here: slower, but without its limits."""
        position = 0
        if parse_special and self._specials:
            longest_first = sorted(self._specials, key=len, reverse=True)
            for match in regex.finditer("|".join(map(regex.escape, longest_first)), text):
                yield from self._encode_ordinary_by_pieces(text[position : match.start()])
                yield self._specials[match.group()]
                position = match.end()
        yield from self._encode_ordinary_by_pieces(text[position:])

    def _encode_ordinary_by_pieces(self, text: str) -> Iterator[int]:
        missing = bytes(self._missing)
        for match in regex.finditer(self._encoding._pat_str, text):
            # Bytes beside a missing one meet, and may merge: it goes before the merging.
            kept = match.group().encode().translate(None, missing)
            try:
                yield from self._encoding.encode_ordinary(kept.decode())  # other threads run meanwhile
            except UnicodeDecodeError:  # what is left of a character
                yield from self._encoding._encode_single_piece(kept)


def _bytes_of(encoding: Encoding, token_id: int) -> bytes:
    try:
        return encoding.decode_single_token_bytes(token_id)
    except KeyError:
        return b""  # cl100k_base, for one, has holes between its words and its special tokens
