"""The rows of a job's datasets, for recipes that learn from examples: read line by line, and counted. Free of torch.

A row of JSON comes with all that is nested in it. What a recipe finds wrong with one is told with its line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.orm import Session

from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.errors import InvalidRequest, UnknownWord
from app.llm.config import ModelConfig, NetworkConfig
from app.llm.data.rows import row_of
from app.llm.data.split import part_sizes
from app.llm.errors import UnknownToken, UntokenizableText
from app.llm.tokenizer.base import Tokenizer
from app.llm.train.config import LoopConfig
from app.services import datasets
from app.services.storage import Storage

MAX_EXAMPLES = 1_000_000
"""Rows that one job learns from, and that it measures on: all of them lie in memory as ids while it runs."""
LOOKED_AT_BYTES = 1 << 20
"""Of rows too many to be read while somebody waits, so many bytes are."""
COUNTED_CHARACTERS = 1 << 20
"""Of so many characters the tokens are counted while somebody waits; those of the rest are judged by these."""

Part = Literal["dataset", "validation"]


@dataclass(frozen=True)
class Line:
    """A row, and where it stands."""

    dataset: str
    place: int  # of its dataset among those of the job
    number: int  # the line at which it begins, from 1
    values: Mapping[str, Any]
    param: Part

    def refused(self, reason: str) -> InvalidRequest:
        """What is wrong with it, told so that its owner finds it."""
        return InvalidRequest(f"{self.param}: {self.dataset}, line {self.number}: {reason}", param=self.param)

    def text(self, column: str, *, may_be_empty: bool = False) -> str:
        """The text in a column; a number is written out.

        Raises:
            InvalidRequest: there is none, or what is no text.
        """
        value = self.values.get(column)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = str(value)
        if value is None and may_be_empty:
            return ""
        if not isinstance(value, str | None):
            raise self.refused(f"{column} must be text, not {type(value).__name__}")
        if value is None or not (may_be_empty or value.strip()):
            raise self.refused(f"{column} is empty")
        return value


@dataclass(frozen=True)
class JobRows:
    """What a job reads, and how it is to be cut."""

    learnt: tuple[DatasetRow, ...]
    held_out: DatasetRow | None  # a dataset of its own to measure on
    columns: Mapping[str, str]  # by role
    fraction: float  # of the rows, kept back to measure on
    test: float  # of the rows, kept back for the report

    @classmethod
    def of_job(cls, session: Session, job: JobRow) -> JobRows:
        """Of a job's row.

        Raises:
            DatasetNotFound: one was deleted.
        """
        other = job.validation.get("dataset")
        return cls(
            learnt=tuple(datasets.read(session, entry["dataset"], "dataset") for entry in job.datasets),
            held_out=None if other is None else datasets.read(session, other, "validation"),
            columns=job.columns,
            fraction=job.validation.get("fraction") or 0.0,
            test=job.validation.get("test") or 0.0,
        )

    @property
    def shares(self) -> tuple[float, float]:
        """Of the rows: to measure on, and for the report."""
        return self.fraction, self.test

    @property
    def size_bytes(self) -> int:
        """Of the largest dataset."""
        return max(row.size_bytes for row in (*self.learnt, *([self.held_out] if self.held_out else [])))

    def check(self) -> None:
        """Pass datasets of rows that have the columns, and not too many rows.

        Raises:
            InvalidRequest: one is a text, lacks a column, or all together have too many rows.
        """
        for row in self.learnt:
            self._check(row, "dataset")
        if self.held_out is not None:
            self._check(self.held_out, "validation")
        self._check_count(sum(row.rows or 0 for row in self.learnt), "dataset", "learns from")
        if self.held_out is not None:
            self._check_count(self.held_out.rows or 0, "validation", "measures on")

    def lines(self, storage: Storage, part: Part, most_bytes: int | None = None) -> Iterator[Line]:
        """The rows of what is learnt from (its kept back parts among them), or of the dataset to measure on, in order.

        Args:
            most_bytes: of each dataset; None: all.

        Raises:
            DataMissing: a file is gone.
        """
        found = self.learnt if part == "dataset" else (self.held_out,) if self.held_out is not None else ()
        for place, dataset in enumerate(found):
            names, seen = datasets.column_names(dataset), 0
            with datasets.opened(storage, dataset) as file:
                for number, line in enumerate(file, start=1):
                    if most_bytes is not None and seen >= most_bytes:
                        break
                    if len(line) > 1:
                        seen += len(line)
                        yield Line(dataset.id, place, number, row_of(line, names), part)

    def _check_count(self, count: int, param: Part, what: str) -> None:
        if count > MAX_EXAMPLES:
            told = f"{count:,} rows are more than the {MAX_EXAMPLES:,} that one job {what}"
            raise InvalidRequest(f"{param}: {told}", param=param)

    def _check(self, row: DatasetRow, param: Part) -> None:
        if row.rows is None:
            raise InvalidRequest(f"{param}: {row.label} is a text; this recipe learns from rows", param=param)
        names = datasets.column_names(row)
        for role, column in self.columns.items():
            if column not in names:
                told = f"{row.label} has no column {column[:100]!r}; it has {', '.join(names[:20])}"
                raise InvalidRequest(f"columns.{role}: {told}", param=f"columns.{role}")


@dataclass(frozen=True)
class Reading:
    """What a recipe is given to judge a job's rows by."""

    rows: JobRows
    storage: Storage
    tokenizer: Tokenizer
    network: ModelConfig  # that the job learns with, or its body
    train: LoopConfig
    window: int  # tokens that an example may have at most
    is_whole: bool  # False: there are so many rows that only the first ones are read
    chat_template: str | None = None  # the model's own

    def lines(self, part: Part = "dataset") -> Iterator[Line]:
        return self.rows.lines(self.storage, part, None if self.is_whole else LOOKED_AT_BYTES)

    def lengths(self) -> Lengths:
        return Lengths(self.tokenizer)


class Lengths:
    """Tokens of texts: the first ones are counted, those that come later judged by their characters."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._characters = self._tokens = 0
        self.is_exact = True

    def of(self, line: Line, text: str) -> int:
        """Of a text of that row.

        Raises:
            UnknownWord, InvalidRequest: the tokenizer cannot take it, or finds no token in it.
        """
        if self._characters >= COUNTED_CHARACTERS:
            self.is_exact = False
            return max(1, round(len(text) * self._tokens / self._characters))
        found = len(encoded(self._tokenizer, line, text))
        self._characters += len(text)
        self._tokens += found
        return found


def encoded(tokenizer: Tokenizer, line: Line, text: str) -> list[int]:
    """The ids of a text of that row.

    Raises:
        UnknownWord, InvalidRequest: the tokenizer cannot take it, or finds no token in it; both tell the line.
    """
    try:
        ids = tokenizer.encode(text)
    except (UnknownToken, UntokenizableText) as error:
        raise UnknownWord(line.refused(str(error)).message, param=line.param) from error
    if not ids:
        raise line.refused("the text has no token")
    return ids


@dataclass(frozen=True)
class Counted:
    """What a recipe makes of a job's rows, before it runs."""

    learnt: int  # examples
    measured: int  # examples to measure on
    tokens: int  # of those that are learnt from, each once
    longest: int  # tokens of an example, as it is read
    padded: float  # tokens that one takes in a batch, in the mean: what fills it up is among them
    is_exact: bool
    network: NetworkConfig | None = None  # where the rows decide it: classes


RowCount = Callable[[Reading], Counted]
"""Reads the rows of a job as its recipe does, and counts them.

Raises:
    InvalidRequest: they cannot be learnt from; with the line, where one is to blame.
"""


@dataclass(frozen=True)
class RowRecipe:
    """The half of a recipe of rows that is asked before a job is written."""

    config: type[LoopConfig]
    count: RowCount


def counted(
    reading: Reading,
    lengths: Sequence[int],
    batch_size: int,
    *,
    is_exact: bool,
    sizes: Sequence[int] | None = None,
    network: NetworkConfig | None = None,
) -> Counted:
    """The sizes of the parts, of the lengths of the rows that were read.

    Args:
        lengths: tokens of each of them, as it is read.
        sizes: of these rows, how many each class has that are used; None: all, as one class.

    Raises:
        InvalidRequest: there is no row, or none is left for a part.
    """
    rows = reading.rows
    if not lengths:
        raise InvalidRequest("dataset: there is no row in it", param="dataset")
    scale = 1.0 if reading.is_whole else sum(row.rows or 0 for row in rows.learnt) / len(lengths)
    all_sizes = [round(scale * size) for size in ([len(lengths)] if sizes is None else sizes)]
    parts = [part_sizes(size, rows.shares) for size in all_sizes]
    learnt, measured, tested = (sum(part[place] for part in parts) for place in range(3))
    for param, share, size in (("validation", rows.fraction, measured), ("test", rows.test, tested)):
        if share and not size:
            told = f"of {sum(all_sizes)} examples none is left for it; give more of each kind, or keep none back"
            raise InvalidRequest(f"{param}: {told}", param=param)
    if rows.held_out is not None:
        measured = rows.held_out.rows or 0
    return Counted(
        learnt=learnt,
        measured=measured,
        tokens=round(learnt * sum(lengths) / len(lengths)),
        longest=max(lengths),
        padded=longest_of(lengths, min(batch_size, learnt)),
        is_exact=is_exact and reading.is_whole,
        network=network,
    )


def longest_of(lengths: Sequence[int], drawn: int) -> float:
    """What the longest of so many drawn by chance has, in the mean."""
    ordered, count = sorted(lengths), len(lengths)
    chances = [(place / count) ** drawn for place in range(count + 1)]
    return sum(length * (chances[place + 1] - chances[place]) for place, length in enumerate(ordered))
