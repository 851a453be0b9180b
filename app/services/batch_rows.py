"""Which rows a job's batches are made of, for a person who wants to look at them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from app.db.tables.job import JobRow
from app.llm.data.corpus import end_of_text
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.tokenizer.base import Tokenizer

MAX_ROWS = 64
SHOWN_ROWS = 3
EXCERPT_TOKENS = 24
EXCERPT_CHARACTERS = 120
_COUNTED_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Row:
    """A window of a batch: where it lies in its dataset, and how it begins."""

    batch: int  # its number in the run
    dataset: str
    first_token: int  # of the part of the dataset that is learnt from, counted from 0
    last_token: int  # the target of the last one
    line: int | None  # of a text, from 1; None where its tokenizer leaves line breaks out
    row: int | None  # of a dataset of rows, from 1, those without text not counted
    excerpt: str

    def __str__(self) -> str:
        at = f", line {self.line}" if self.line else f", row {self.row}" if self.row else ""
        return f"{self.dataset}{at}, tokens {self.first_token} to {self.last_token}"


def rows_of(job: JobRow, batches: Batches, numbers: Iterable[int], tokenizer: Tokenizer) -> list[Row]:
    """The windows of the run's batches `numbers`, the first `MAX_ROWS` of them."""
    places = [(number, batches.windows.place(index)) for number in numbers for index in batches.indices(number)]
    windows = batches.windows
    parts = windows.parts if isinstance(windows, Mixture) else [windows]
    breaks = _line_breaks(tokenizer)
    return [
        _row(number, job.datasets[which], parts[which], window, tokenizer, breaks)
        for number, (which, window) in places[:MAX_ROWS]
    ]


def in_words(rows: list[Row]) -> str:
    """Where they lie, the first ones."""
    shown = "; ".join(str(row) for row in rows[:SHOWN_ROWS])
    left = len(rows) - SHOWN_ROWS
    return f"{shown}; and {left} more" if left > 0 else shown


def as_data(rows: list[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]


def _row(
    number: int, source: dict[str, Any], part: Windows, window: int, tokenizer: Tokenizer, breaks: Any | None
) -> Row:
    start = window * part.stride
    inputs, _ = part[window]
    excerpt = tokenizer.decode(inputs[:EXCERPT_TOKENS].tolist())[:EXCERPT_CHARACTERS]
    line = row = None
    if "column" in source:
        end_id = end_of_text(tokenizer)
        row = 1 + _sum(part, start, lambda ids: ids == end_id)
    elif breaks is not None:
        line = 1 + _sum(part, start, lambda ids: breaks[ids])
    return Row(number, source["dataset"], start, start + part.max_length, line, row, excerpt)


def _line_breaks(tokenizer: Tokenizer) -> Any | None:
    """How many line breaks each token has, (V,); None where tokens leave white space out."""
    if tokenizer.kind == "word":
        return None
    return np.array([tokenizer.token_bytes(each).count(b"\n") for each in range(tokenizer.vocab_size)])


def _sum(part: Windows, end: int, counted: Any) -> int:
    """What `counted` gives for the ids before `end`, in pieces: the text may be longer than memory."""
    starts = range(0, end, _COUNTED_AT_ONCE)
    pieces = (np.asarray(part.ids[start : min(end, start + _COUNTED_AT_ONCE)]) for start in starts)
    return sum(int(counted(ids).sum()) for ids in pieces)
