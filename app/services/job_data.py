"""A job's texts as batches of windows: what is learnt from, what is measured on, and what is taken of each text."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from app.db.tables import dataset as dataset_table
from app.db.tables.job import JobRow
from app.errors import DatasetNotFound, InvalidRequest
from app.llm.data.sources import SourceUse, used
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.errors import DatasetTooShort
from app.llm.tokenizer.base import Tokenizer
from app.services import batch_rows
from app.services.batch_rows import Row
from app.services.corpus import Encoder, ids_of, kept_back_from
from app.services.dataset_texts import Source
from app.services.runtime import Runtime

Check = Callable[[], None]


@dataclass(frozen=True)
class Cut:
    """How texts become windows and batches."""

    length: int  # tokens of an input
    stride: int  # tokens from one to the next, in the text that is learnt from
    measured_stride: int  # and in the text that is measured on
    batch_size: int


@dataclass(frozen=True)
class Data:
    """What is learnt from, and what is measured on."""

    train: Batches
    validation: Batches | None


def read_data(runtime: Runtime, job: JobRow, encoder: Encoder, cut: Cut, check: Check) -> Data:
    """The job's texts as batches of windows.

    Raises:
        InvalidRequest: there is not one window to learn from, or to measure on.
        DatasetNotFound: a dataset was deleted.
        UnknownToken: the tokenizer does not know a word of them.
        TrainingStopped: by `check`.
    """

    def windows(source: Source, start: int, end: int | None, stride: int, param: str) -> Windows:
        row = source.dataset
        ids = ids_of(runtime.storage, encoder, row, start, end, check, column=source.column)
        try:
            return Windows(ids, cut.length, stride)
        except DatasetTooShort as error:
            part = "validation" if param == "validation" else "training"
            raise InvalidRequest(f"{row.label} is too short for {part}: {error}", param=param) from error

    fraction = job.validation.get("fraction") or 0.0
    rows = [_source(runtime, entry, "dataset") for entry in job.datasets]
    weights = [float(entry["weight"]) for entry in job.datasets]
    ends = [kept_back_from(runtime.storage, row, fraction, encoder.tokenizer) for row in rows]
    learnt = [windows(row, 0, end, cut.stride, "dataset") for row, end in zip(rows, ends, strict=True)]
    held_out: Mixture | None = None
    measured = cut.measured_stride
    if fraction:
        parts = [windows(row, end or 0, None, measured, "validation") for row, end in zip(rows, ends, strict=True)]
        held_out = Mixture(parts, weights)
    elif "dataset" in job.validation:
        other = _source(runtime, job.validation, "validation")
        held_out = Mixture([windows(other, 0, None, measured, "validation")], [1.0])
    return Data(
        Batches(Mixture(learnt, weights), cut.batch_size, job.seed),
        None if held_out is None else Batches(held_out, cut.batch_size, job.seed),
    )


@dataclass(frozen=True)
class WindowData:
    """What a run on windows learns from, as its owner asks about it."""

    job: JobRow
    batches: Batches
    tokens_a_window: int  # that a window predicts
    tokenizer: Tokenizer

    def sources(self, steps: int) -> list[dict[str, Any]]:
        """What the first `steps` batches take of each text: its tokens, its share, how often it is gone through."""
        uses = used(self.batches, steps, self.tokens_a_window)
        return [source_told(entry, use) for entry, use in zip(self.job.datasets, uses, strict=True)]

    def rows_of(self, numbers: Iterable[int]) -> list[Row]:
        """The windows of the batches `numbers`, the first ones."""
        return batch_rows.rows_of(self.job, self.batches, numbers, self.tokenizer)


def source_told(entry: dict[str, Any], use: SourceUse) -> dict[str, Any]:
    """What is taken of one of a job's datasets, as events tell it."""
    return {
        "dataset": entry["dataset"],
        "weight": entry["weight"],
        "tokens": use.tokens,
        "tokens_read": use.tokens_read,
        "share": round(use.share, 6),
        "epochs": round(use.epochs, 6),
    }


def _source(runtime: Runtime, entry: dict[str, Any], param: str) -> Source:
    dataset_id = entry["dataset"]
    with runtime.database.read() as session:
        row = dataset_table.get(session, dataset_id)
    if row is None:
        raise DatasetNotFound(f"{param}: there is no dataset {dataset_id!r} any more", param=param)
    return Source(row, entry.get("column"))
