"""Text out of a model as it is made: whole characters only, and nothing that may still become a stop string.

Knows bytes and words; knows no ids, no model, no clock.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterable, Sequence

from app.llm.tokenizer.base import TextStream

_NO_SPACE_BEFORE = frozenset(",.?!\"()'")  # chapter 2 removes the space before these


class ByteStream(TextStream):
    """Decodes bytes that arrive token by token; holds back a character until its last byte is there."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, token_id: int) -> str:
        return self._decoder.decode(self._token_bytes(token_id))

    def flush(self) -> str:
        return self._decoder.decode(b"", final=True)


class WordStream(TextStream):
    """Joins words as chapter 2 does: single spaces, none before `, . ? ! " ( ) '`."""

    def __init__(self, word: Callable[[int], str]) -> None:
        self._word = word
        self._is_first = True

    def push(self, token_id: int) -> str:
        word = self._word(token_id)
        glued = self._is_first or word[0] in _NO_SPACE_BEFORE
        self._is_first = False
        return word if glued else f" {word}"

    def flush(self) -> str:
        return ""


class Beginnings:
    """What some words begin with, none of them whole."""

    def __init__(self, words: Iterable[str]) -> None:
        self._all = {word[:length] for word in words for length in range(1, len(word))}
        self._longest = max((len(beginning) for beginning in self._all), default=0)

    def at_end(self, text: str) -> int:
        """Length of the longest end of `text` that begins a word."""
        longest = min(len(text), self._longest)
        return next((n for n in range(longest, 0, -1) if text[-n:] in self._all), 0)


class StopStrings:
    """Lets text through up to the first stop string, holding back what may yet become one.

    The string that is complete first ends the text; of several complete at the same character, the one that
    began first. However the text is cut into pushes, the outcome is the same.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._beginnings = Beginnings(stops)
        self._held = ""
        self._met = False

    def push(self, text: str) -> tuple[str, bool]:
        """The text that is certain, without the stop string, and whether one was met; then nothing comes any more."""
        if self._met:
            return "", True
        text = self._held + text
        found = [(at + len(stop), at) for stop in self._stops if (at := text.find(stop)) >= 0]
        if found:
            self._met, self._held = True, ""
            return text[: min(found)[1]], True
        keep = self._beginnings.at_end(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], False

    def flush(self) -> str:
        """What was held back, once no more text will come."""
        held, self._held = self._held, ""
        return held
