"""What was measured of a model: the evaluations that have come to their end, and what each of them says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import dataset as dataset_table
from app.db.tables import job_list
from app.db.tables.job import JobRow
from app.db.tables.job_list import Wanted
from app.services import jobs, results
from app.services.evaluation_checks import RECIPE
from app.services.model_info import ModelInfo

LONG = {"model", "confusion", "classes", "calibration", "worst", "by_probability"}
"""Of a report's entry: what a list does not tell."""
BESIDE = {"kind", "against", "judge"}
"""Settings that do not change what is measured of one model, or are told apart."""


@dataclass(frozen=True)
class Measured:
    """An evaluation, as it stands for one of its models."""

    job: str
    kind: str
    dataset: str
    dataset_name: str | None  # None: it is gone
    models: list[str]
    settings: dict[str, Any]
    seed: int
    columns: dict[str, str]
    finished_at: int
    figures: dict[str, Any]

    @property
    def key(self) -> str:
        """The same for all that measured the same thing of whichever model, on the same rows."""
        drawn = self.seed if self.settings.get("max_rows") else None
        return repr((self.kind, self.dataset, sorted(self.settings.items()), sorted(self.columns.items()), drawn))


def page(session: Session, model: ModelInfo, after: str | None, limit: int) -> tuple[list[Measured], bool]:
    """Up to `limit` evaluations of a model, newest first, those behind the one with id `after`; whether more follow.

    One of other weights that had the model's name before is none of it.

    Raises:
        JobNotFound: `after` names no job.
    """
    last = None if after is None else jobs.read(session, after, param="after").id
    wanted = Wanted(("succeeded",), (RECIPE,), only=_of(model))
    found = job_list.newest_first(session, last, limit + 1, wanted)
    return [_measured(session, row, model.name) for row in found[:limit]], len(found) > limit


def report_of(session: Session, job_id: str, name: str) -> dict[str, Any] | None:
    """What an evaluation says of a model, in full; None where it says nothing of it.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is no evaluation.
    """
    report = results.check(session, job_id).report or {}
    return next((each for each in report.get("models", []) if each["model"] == name), None)


def _of(model: ModelInfo) -> Callable[[JobRow], bool]:
    def measured(row: JobRow) -> bool:
        if row.report is None or model.name not in results.measured(row):
            return False
        # A checkpoint's name is never another's, and its version is not its weights' hash.
        return "@" in model.name or row.model_versions.get(model.name, model.sha256) == model.sha256

    return measured


def _measured(session: Session, row: JobRow, name: str) -> Measured:
    assert row.evaluate is not None, "it is an evaluation"
    assert row.report is not None, "which has a report"
    dataset = dataset_table.get(session, row.report["dataset"])
    entry = next(each for each in row.report["models"] if each["model"] == name)
    return Measured(
        job=row.id,
        kind=row.report["kind"],
        dataset=row.report["dataset"],
        dataset_name=None if dataset is None else dataset.name,
        models=results.measured(row),
        settings={name: value for name, value in row.evaluate.items() if name not in BESIDE and value is not None},
        seed=row.seed,
        columns=row.columns or {},
        finished_at=int(row.finished_at or row.created_at),
        figures={name: value for name, value in entry.items() if name not in LONG},
    )
