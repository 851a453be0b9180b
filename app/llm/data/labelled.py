"""Labelled texts for a classifier (chapter 6): reading, balancing, shuffling, encoding. Knows no network."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from app.llm.config import Reads
from app.llm.data.csv_rows import fields
from app.llm.data.examples import checked_text, pad
from app.llm.data.split import split
from app.llm.errors import BadExample
from app.llm.tokenizer.base import Tokenizer


@dataclass(frozen=True, slots=True)
class Labelled:
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class LabelledIds:
    """A text as ids, and its class as a number."""

    ids: list[int]
    label: int

    def __len__(self) -> int:
        return len(self.ids)


def read_labelled(lines: Iterable[str], delimiter: str = "\t", *, quotes: bool = True) -> list[Labelled]:
    """Label and text of each row of a table without a head.

    Args:
        lines: as of a file opened with `newline=""`.
        quotes: a field that begins with a quotation mark goes on to the next one, even over lines, as in CSV (what
            pandas does by itself); otherwise quotation marks are text.

    Raises:
        BadExample: a row without exactly two fields, with an empty one or one that is too long; it says the line.
    """
    reader = fields(lines, delimiter, quotes=quotes)
    found = []
    try:
        for row in reader:
            if not row:
                continue  # a blank line
            if len(row) != 2:
                raise BadExample(reader.line_num, f"a row has a label and a text, not {len(row)} fields")
            label, text = (checked_text(row[i], field, reader.line_num) for i, field in enumerate(("label", "text")))
            found.append(Labelled(label, text))
    except csv.Error as error:
        raise BadExample(reader.line_num, str(error)) from error
    return found


def balanced(examples: Sequence[Labelled], seed: int) -> list[int]:
    """Numbers of examples such that each class has as many as the smallest.

    Of a larger class, those that pandas' `sample(random_state=seed)` picks, in its order; then come the classes that
    are smallest, whole and in order. Classes come as they first appear. Seeds are below 2^32, as numpy's are.
    """
    numbers: dict[str, list[int]] = {}
    for number, example in enumerate(examples):
        numbers.setdefault(example.label, []).append(number)
    size = min(map(len, numbers.values()), default=0)
    larger = [members for members in numbers.values() if len(members) > size]
    picked = [[members[place] for place in _sample(len(members), size, seed)] for members in larger]
    whole = [members for members in numbers.values() if len(members) == size]
    return [number for members in picked + whole for number in members]


def shuffled(examples: Sequence[Labelled], seed: int) -> list[Labelled]:
    """All examples in the order of pandas' `sample(frac=1, random_state=seed)`."""
    return [examples[place] for place in _sample(len(examples), len(examples), seed)]


def _sample(count: int, size: int, seed: int) -> list[int]:
    found: list[int] = np.random.RandomState(seed).choice(count, size, replace=False).tolist()
    return found


def stratified(examples: Sequence[Labelled], held_out: Sequence[float], seed: int) -> list[list[int]]:
    """Numbers of examples to learn from, and of those in each part that is kept back, of these shares.

    Of every class about the same share goes into a part, but at least one example, as long as one is left to learn
    from. Within a part the classes are mixed.
    """
    return split([example.label for example in examples], held_out, seed)


def class_names(examples: Iterable[Labelled]) -> list[str]:
    """The labels in alphabetical order: a label's number is its place."""
    return sorted(Counter(example.label for example in examples))


def encode_labelled(examples: Iterable[Labelled], tokenizer: Tokenizer, classes: Sequence[str]) -> list[LabelledIds]:
    """Ids and class numbers.

    Raises:
        BadExample: a label that is not among `classes`, or a text without a token.
    """
    numbers = {name: number for number, name in enumerate(classes)}
    found = []
    for place, example in enumerate(examples, start=1):
        if example.label not in numbers:
            raise BadExample(place, f"the label {example.label!r} is none of {', '.join(classes)}")
        ids = tokenizer.encode(example.text)
        if not ids:
            raise BadExample(place, "the text has no token")
        found.append(LabelledIds(ids, numbers[example.label]))
    return found


def places_read(rows: Sequence[LabelledIds], reads: Reads, length: int) -> Tensor:
    """The place in (B, length) of the token that a classifier reads, (B,)."""
    if reads == "last_token":
        return torch.tensor([min(len(row.ids), length) - 1 for row in rows])
    return torch.full((len(rows),), length - 1 if reads == "last_place" else 0)


def longest(rows: Iterable[LabelledIds]) -> int:
    """Tokens of the longest text; 0 without any."""
    return max((len(row.ids) for row in rows), default=0)


def join_labelled(rows: Sequence[LabelledIds], length: int, pad_id: int) -> tuple[Tensor, Tensor]:
    """Ids (B, length), padded or cut at their ends, and class numbers (B,)."""
    return pad([row.ids for row in rows], length, pad_id), torch.tensor([row.label for row in rows])
