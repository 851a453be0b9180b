"""A classifier's confusion matrix with any threshold, and the rows behind a cell of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from app.errors import ReportNotFound
from app.llm.class_report import ClassScore, class_scores, confusion_at
from app.schemas.evaluation import ResultQuery
from app.services import evaluations, reports, results

ROWS_AT_ONCE = 20
OWN = "training"
"""In addresses: the report of the job that made a classifier, in the place of an evaluation's."""


@dataclass(frozen=True)
class Asked:
    """Which report, read how: `evaluation` is a job's id, "" the one of the job that made the classifier."""

    evaluation: str = ""
    threshold: float | None = None  # None: its own
    cell: tuple[int, int] | None = None  # what its rows are, and are told as: places of classes
    after: int = 0  # the line that its rows lie behind


@dataclass(frozen=True)
class CellRow:
    """A row that fell into a cell; `probability` is that of the class it is told as."""

    line: int
    text: str
    probability: float


@dataclass(frozen=True)
class Matrix:
    """A report as it was asked for. `threshold` is None where the likelier class is told."""

    asked: Asked
    names: list[str]
    confusion: list[list[int]]
    scores: list[ClassScore]
    accuracy: float
    rows: int
    threshold: float | None
    may_move: bool
    found: list[CellRow] = field(default_factory=list)
    has_more: bool = False

    @property
    def report(self) -> str:
        """As an address names what it is read from."""
        return self.asked.evaluation or OWN


def matrix(session: Session, model: str, asked: Asked) -> Matrix:
    """Read a report of a classifier.

    Raises:
        JobNotFound, Conflict, ReportNotFound: there is no such report.
    """
    report = reports.of_model(session, model) if not asked.evaluation else _measured(session, model, asked.evaluation)
    names = [each["name"] for each in report["classes"]]
    counts = report.get("by_probability")
    moved = asked.threshold if counts else None
    confusion = report["confusion"] if moved is None or counts is None else confusion_at(counts, moved)
    total = sum(map(sum, confusion))
    right = sum(row[place] for place, row in enumerate(confusion))
    threshold = report["threshold"] if moved is None else moved
    asked = Asked(asked.evaluation, moved, asked.cell, asked.after)
    if asked.cell is not None and max(asked.cell) >= len(names):
        asked = Asked(asked.evaluation, moved)
    found, has_more = _rows(session, model, report, names, asked)
    scores = class_scores(names, confusion)
    return Matrix(asked, names, confusion, scores, right / total, total, threshold, bool(counts), found, has_more)


def _measured(session: Session, model: str, job_id: str) -> dict[str, Any]:
    found = evaluations.report_of(session, job_id, model)
    if found is None or "confusion" not in found:
        raise ReportNotFound(f"{job_id} tells no classes of {model}")
    return found


def _rows(
    session: Session, model: str, report: dict[str, Any], names: list[str], asked: Asked
) -> tuple[list[CellRow], bool]:
    """Rows of the cell that is asked for; a training's report keeps those alone that it was most wrong about."""
    if asked.cell is None:
        return [], False
    reference, answer = (names[place] for place in asked.cell)
    if not asked.evaluation:
        own = [one for one in report["worst"] if (one["label"], one["told"]) == (reference, answer)]
        return [CellRow(one["line"], one["text"], 1 - one["probability"]) for one in own], False
    query = ResultQuery(
        after=asked.after,
        limit=ROWS_AT_ONCE,
        model=model,
        reference=reference,
        answer=answer,
        threshold=asked.threshold,
    )
    page, has_more = results.page(session, asked.evaluation, query)
    ours = [one for models in page for one in models if one.model == model]
    return [CellRow(one.row, one.prompt or "", _chance(one.answer, one.figures, answer)) for one in ours], has_more


def _chance(told: str | None, figures: dict[str, Any], answer: str) -> float:
    confidence = float(figures["confidence"])
    return confidence if told == answer else 1 - confidence
