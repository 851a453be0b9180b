"""What of this machine a lesson's fields offer: datasets and models, and what to do where the right one is not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.api.pages.lessons.field import Field
from app.db.session import Session
from app.db.tables.dataset import DatasetRow
from app.services import datasets, public_sets
from app.services.model_info import ModelInfo
from app.services.runtime import Runtime

MOST = 1000


@dataclass(frozen=True)
class Option:
    value: str
    words: str


@dataclass(frozen=True)
class Offers:
    datasets: Sequence[DatasetRow]
    models: Sequence[ModelInfo]
    """The default one first."""
    is_remote: bool
    """Another server generates, with models of its own; those here do not answer."""

    @classmethod
    def of_machine(cls, runtime: Runtime, session: Session) -> Offers:
        found, _ = datasets.page(session, None, MOST)
        return cls(found, runtime.catalogue.list(session), runtime.settings.remote_url is not None)

    def options(self, field: Field) -> list[Option]:
        """What a field offers, the first of it chosen at first. Empty where there is nothing."""
        if field.kind == "dataset":
            return [Option(row.id, row.name) for row in self._fit(field)]
        if self.is_remote and field.of != "classifier":
            return [Option("", "the one of the server that generates")]
        return [Option(one.name, one.name) for one in self.models if one.available and _fits(one, field.of)]

    def value(self, field: Field) -> str:
        """What stands in the field at first."""
        if not field.is_offered:
            return field.written
        return next((option.value for option in self.options(field)), field.written)

    def missing(self, field: Field) -> str:
        """The public set that the book works with, where it is not here; "" where nothing is missing."""
        is_here = any(_is_set(row, field.prefers) for row in self.datasets)
        return "" if is_here or field.kind != "dataset" else field.prefers

    def _fit(self, field: Field) -> list[DatasetRow]:
        fit = [row for row in self.datasets if row.kind == field.of]
        return sorted(
            fit,
            key=lambda row: (
                not _is_set(row, field.prefers),
                bool(row.report.get("bad_rows")),
                row.source == "builtin",
            ),
        )


def _fits(model: ModelInfo, of: str) -> bool:
    return model.family == "classifier" if of == "classifier" else model.writes


def _is_set(row: DatasetRow, name: str) -> bool:
    """Whether a dataset is a public set: the very file, or the rows that were made of it."""
    if not name:
        return False
    known = public_sets.named(name)
    return row.sha256 == known.sha256 or (row.rows is not None and row.name == known.file_name)


def _last(row: DatasetRow, preferred: str) -> tuple[bool, bool, bool]:
    """What puts a dataset behind others: not the set of the book, rows that fail, ours."""
    return not _is_set(row, preferred), bool(row.report.get("bad_rows")), row.source == "builtin"
