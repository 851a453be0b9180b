"""A job's rows as examples while it runs: read once, cut in parts by the job's seed, told of as their owner asks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from app.db.tables.job import JobRow
from app.errors import InvalidRequest
from app.llm.data.examples import ExampleBatches
from app.llm.data.sources import SourceUse
from app.llm.data.split import split
from app.services.batch_rows import EXCERPT_CHARACTERS, MAX_ROWS, Row
from app.services.job_data import Check, source_told
from app.services.job_rows import JobRows, Line, Part
from app.services.runtime import Runtime

CHECKED_EVERY = 256
"""Rows read between two questions whether to go on."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Example(Generic[T]):
    """What a recipe made of a row, and where that stands."""

    value: T
    place: int  # of its dataset among those of the job
    line: int
    tokens: int


@dataclass(frozen=True)
class Examples(Generic[T]):
    """A job's rows in parts."""

    learnt: list[Example[T]]
    measured: list[Example[T]]
    tested: list[Example[T]]


def read_examples(
    runtime: Runtime,
    job: JobRow,
    read: Callable[[Line], T],
    tokens: Callable[[T], int],
    check: Check,
    *,
    label: Callable[[T], str] = lambda _: "",
    choose: Callable[[list[Example[T]]], list[Example[T]]] = lambda found: found,
) -> Examples[T]:
    """Read all rows of a job, and cut them as its seed says.

    Args:
        read: makes an example of a row, or refuses it with its line.
        tokens: that an example has.
        label: parts have like shares of each.
        choose: those that are to be used, of all that can be learnt from; before they are cut.

    Raises:
        DatasetNotFound: a dataset was deleted.
        InvalidRequest: a row is refused, or none is left for a part.
        TrainingStopped: by `check`.
    """
    with runtime.database.read() as session:
        rows = JobRows.of_job(session, job)

    def examples(part: Part) -> list[Example[T]]:
        found: list[Example[T]] = []
        for line in rows.lines(runtime.storage, part):
            if len(found) % CHECKED_EVERY == 0:
                check()
            value = read(line)
            found.append(Example(value, line.place, line.number, tokens(value)))
        return found

    known = choose(examples("dataset"))
    parts = split([label(example.value) for example in known], rows.shares, job.seed)
    learnt, measured, tested = ([known[number] for number in part] for part in parts)
    if rows.held_out is not None:
        measured = examples("validation")
    for part, param, is_wanted in (
        (learnt, "dataset", True),
        (measured, "validation", rows.fraction or rows.held_out),
        (tested, "test", rows.test),
    ):
        if is_wanted and not part:
            raise InvalidRequest(f"{param}: of {len(known)} examples none is left for this part", param=param)
    return Examples(learnt, measured, tested)


@dataclass(frozen=True)
class ExampleData(Generic[T]):
    """What a run on examples learns from, as its owner asks about it."""

    job: JobRow
    batches: ExampleBatches[Any, Any]
    learnt: Sequence[Example[T]]  # in the order of the rows of `batches`
    shown: Callable[[T], str]  # how an example begins

    def sources(self, steps: int) -> list[dict[str, Any]]:
        """What the first `steps` batches take of each dataset, as orders by chance do it in the mean."""
        read = steps * self.batches.batch_size
        epochs = read / len(self.learnt)
        sizes = [0] * len(self.job.datasets)
        for example in self.learnt:
            sizes[example.place] += example.tokens
        told = []
        for entry, size in zip(self.job.datasets, sizes, strict=True):
            use = SourceUse(size, size / sum(sizes), round(size * epochs), epochs)
            told.append(source_told(entry, use))
        return told

    def rows_of(self, numbers: Iterable[int]) -> list[Row]:
        """The examples of the batches `numbers`, the first ones."""
        places = [(number, index) for number in numbers for index in self.batches.indices(number)]
        return [self._row(number, self.learnt[index]) for number, index in places[:MAX_ROWS]]

    def _row(self, number: int, example: Example[T]) -> Row:
        return Row(
            batch=number,
            dataset=self.job.datasets[example.place]["dataset"],
            first_token=0,
            last_token=example.tokens - 1,
            line=example.line,
            row=None,
            excerpt=self.shown(example.value)[:EXCERPT_CHARACTERS],
        )
