"""What a look at many pieces of text gives: duplicates, lengths, special tokens. One pass, piece by piece; no file."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from app.llm.tokenizer.base import Tokenizer

KNOWN_SPECIALS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|user|>",
    "<|assistant|>",
    "<|system|>",
    "<s>",
    "</s>",
    "<unk>",
    "<|unk|>",
    "<pad>",
    "[INST]",
    "[/INST]",
)
"""Of widespread models; in a text they were most likely left over from another one's training data."""
MAX_EXAMPLES = 10
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, check_circular=False)
_EDGES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4)


def fingerprint(values: Any) -> int:
    """A number that two rows or paragraphs share if they differ in nothing but white space."""
    plain = _ENCODER.encode(_plain(values))
    return int.from_bytes(hashlib.blake2b(plain.encode(), digest_size=8).digest(), "big")


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


class Twin(NamedTuple):
    """A piece that was there before."""

    line: int
    first_line: int


@dataclass
class Twins:
    """Pieces that come again."""

    count: int = 0
    examples: list[Twin] = field(default_factory=list)
    first: dict[int, int] = field(default_factory=dict)  # of a fingerprint, the line

    def add(self, line: int, mark: int) -> None:
        before = self.first.setdefault(mark, line)
        if before != line:
            self._note(Twin(line, before))

    def met_in(self, others: Iterable[tuple[int, int]]) -> tuple[Twins, int]:
        """Those of `others` (line, fingerprint) that are here, too, and how many others there are."""
        found, count = Twins(), 0
        for line, mark in others:
            count += 1
            if mark in self.first:
                found._note(Twin(line, self.first[mark]))
        return found, count

    def _note(self, twin: Twin) -> None:
        self.count += 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(twin)


@dataclass(frozen=True)
class Bucket:
    """So many pieces have more than `over` and at most `up_to` tokens (None: without end)."""

    over: int
    up_to: int | None
    count: int


class Lengths:
    """Tokens of pieces, against a context."""

    def __init__(self, tokenizer: Tokenizer, context_length: int) -> None:
        self._tokenizer = tokenizer
        self.context_length = context_length
        self.longest_line: int | None = None
        self._counts = array("I")
        self._longest = -1

    def add(self, line: int, text: str) -> None:
        """Raises:
        UnknownToken, UntokenizableText: as `encode`.
        """
        count = len(self._tokenizer.encode(text))
        self._counts.append(count)
        if count > self._longest:
            self._longest, self.longest_line = count, line

    @property
    def total(self) -> int:
        return sum(self._counts)

    @property
    def longest(self) -> int:
        return max(self._longest, 0)

    @property
    def median(self) -> int:
        return sorted(self._counts)[len(self._counts) // 2] if self._counts else 0

    @property
    def too_long(self) -> int:
        """Pieces that do not fit the context."""
        return sum(count > self.context_length for count in self._counts)

    @property
    def cut_tokens(self) -> int:
        """Tokens behind the context, in all pieces."""
        return sum(count - self.context_length for count in self._counts if count > self.context_length)

    def buckets(self) -> list[Bucket]:
        edges = sorted({max(1, int(self.context_length * edge)) for edge in _EDGES})
        ends: list[int | None] = [*edges, None]
        starts = [-1, *edges]
        return [
            Bucket(max(over, 0), end, sum(over < n and (end is None or n <= end) for n in self._counts))
            for over, end in zip(starts, ends, strict=True)
        ]


@dataclass(frozen=True)
class Special:
    """A special token that stands in the text as plain text."""

    token: str
    count: int
    line: int  # the first
    of_tokenizer: bool


class Specials:
    """Counts special tokens: those of a tokenizer, and those of widespread models."""

    def __init__(self, own: Mapping[str, int]) -> None:
        self._own = own
        names: Sequence[str] = sorted({*own, *KNOWN_SPECIALS}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, names)))
        self._found: dict[str, list[int]] = {}  # count, first line

    def add(self, line: int, text: str) -> None:
        for match in self._pattern.finditer(text):
            self._found.setdefault(match.group(), [0, line])[0] += 1

    def found(self) -> list[Special]:
        """The most frequent first."""
        made = [Special(name, count, line, name in self._own) for name, (count, line) in self._found.items()]
        return sorted(made, key=lambda special: -special.count)
