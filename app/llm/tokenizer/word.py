"""Chapter 2's tokenizer of words and punctuation, in its two versions. Knows no files and no byte pairs.

V1 knows the words it was built from and raises on any other. V2 adds `<|endoftext|>` and `<|unk|>`, and
writes the latter for a word it does not know. Both lose the white space between words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from app.llm.errors import BadVocabulary, TokenIdOutOfRange, UnknownToken
from app.llm.tokenizer.base import TextStream, Token
from app.llm.tokenizer.stream import WordStream

Version = Literal[1, 2]

END_OF_TEXT = "<|endoftext|>"
UNKNOWN = "<|unk|>"
_SPECIALS: dict[Version, tuple[str, ...]] = {1: (), 2: (END_OF_TEXT, UNKNOWN)}

# What the chapter's `re.split(r'([,.:;?_!"()\']|--|\s)', text)` leaves once blanks are dropped, one by one: a long
# text need not be held in pieces, and other threads get their turn between two words.
_WORD = re.compile(r"""[,.:;?_!"()']|--|(?:[^\s,.:;?_!"()'-]++|-(?!-))++""")


def words(text: str) -> Iterator[str]:
    """The words and punctuation marks of `text`, in order (chapter 2, section 2.2)."""
    return (match.group() for match in _WORD.finditer(text))


class WordTokenizer:
    """Ids for whole words. `vocabulary[id]` is the word; the book's sorting gives the book's ids."""

    kind: Final = "word"

    def __init__(self, vocabulary: Sequence[str], version: Version) -> None:
        """Take a vocabulary as it stands; `build` makes one from a text.

        Raises:
            BadVocabulary: empty, with a word twice, or without the version's special tokens at its end.
        """
        self.version: Final = version
        self._vocabulary = tuple(vocabulary)
        self._ids = {word: token_id for token_id, word in enumerate(self._vocabulary)}
        specials = _SPECIALS[version]
        if len(self._vocabulary) <= len(specials):
            raise BadVocabulary("a vocabulary needs at least one word")
        if len(self._ids) != len(self._vocabulary):
            raise BadVocabulary("a vocabulary holds each word once")
        if self._vocabulary[len(self._vocabulary) - len(specials) :] != specials:
            raise BadVocabulary(f"a vocabulary of version {version} ends with {', '.join(specials)}")
        self._specials = {word: self._ids[word] for word in specials}

    @classmethod
    def build(cls, text: str | Iterable[str], version: Version = 1) -> WordTokenizer:
        """Number the sorted words of a text, or of its parts where none ends inside a word (section 2.3).

        Raises:
            BadVocabulary: there is no word in it.
        """
        parts = (text,) if isinstance(text, str) else text
        specials = _SPECIALS[version]
        found: set[str] = set()
        for part in parts:
            found.update(words(part))
        return cls([*sorted(found.difference(specials)), *specials], version)

    @property
    def vocabulary(self) -> list[str]:
        return list(self._vocabulary)

    @property
    def vocab_size(self) -> int:
        return len(self._vocabulary)

    @property
    def special_tokens(self) -> Mapping[str, int]:
        return self._specials

    @property
    def eos_id(self) -> int | None:
        return self._specials.get(END_OF_TEXT)

    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        """Ids of the words of `text` (sections 2.3 and 2.4). Special tokens in it are unknown words unless
        `parse_special`, and then only where they stand as words of their own, as in the book.

        Raises:
            UnknownToken: version 1 met a word that is not in its vocabulary.
            UnicodeEncodeError: a lone surrogate.
        """
        text.encode()
        known = self._ids
        unknown = self._specials.get(UNKNOWN)
        plain = self._specials.keys() if not parse_special else ()
        ids = []
        for word in words(text):
            token_id = unknown if word in plain else known.get(word, unknown)
            if token_id is None:
                raise UnknownToken(word)
            ids.append(token_id)
        return ids

    def walk(self, text: str, ids: Sequence[int]) -> Iterator[Token]:
        specials = frozenset(self._specials.values())
        for token_id, match in zip(ids, _WORD.finditer(text), strict=True):
            yield Token(token_id, match.group().encode(), match.start(), match.end(), token_id in specials)

    def tokenize(self, text: str, *, parse_special: bool = False) -> list[Token]:
        return list(self.walk(text, self.encode(text, parse_special=parse_special)))

    def decode(self, ids: Sequence[int]) -> str:
        """The words of `ids`, joined as the book joins them: the text's own white space is not known any more."""
        stream = self.stream()
        return "".join([stream.push(token_id) for token_id in ids])

    def token_bytes(self, token_id: int) -> bytes:
        return self._word(token_id).encode()

    def stream(self) -> TextStream:
        return WordStream(self._word)

    def to_json(self) -> str:
        """All there is to the tokenizer, for `from_json`."""
        content = {"kind": self.kind, "version": self.version, "vocabulary": self._vocabulary}
        return json.dumps(content, ensure_ascii=False)

    @classmethod
    def from_json(cls, written: str) -> WordTokenizer:
        """The tokenizer that `to_json` wrote.

        Raises:
            BadVocabulary: it is no such thing.
        """
        try:
            content = json.loads(written)
            kind, version, vocabulary = content["kind"], content["version"], content["vocabulary"]
        except (ValueError, KeyError, TypeError) as error:
            raise BadVocabulary(f"no word vocabulary: {error!r}") from error
        if kind != cls.kind or version not in (1, 2) or not isinstance(vocabulary, list):
            raise BadVocabulary(f"no word vocabulary: kind {kind!r}, version {version!r}")
        if not all(isinstance(word, str) and word for word in vocabulary):
            raise BadVocabulary("a word vocabulary holds words only")
        return cls(vocabulary, version)

    def _word(self, token_id: int) -> str:
        if not 0 <= token_id < len(self._vocabulary):
            raise TokenIdOutOfRange(token_id, len(self._vocabulary))
        return self._vocabulary[token_id]
