"""What evaluations found, row by row: in pages, and as a table for other programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import result
from app.db.tables.job import JobRow
from app.db.tables.result import ResultRow, Sought
from app.errors import Conflict, InvalidRequest
from app.schemas.evaluation import ResultQuery
from app.services import jobs

ROWS_AT_ONCE = 500
NAMES = ("row", "model", "prompt", "reference", "answer", "score", "verdict", "error")


def page(session: Session, job_id: str, query: ResultQuery) -> tuple[list[list[ResultRow]], bool]:
    """Of the rows that are asked for the results with all models, and whether more follow.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is no evaluation.
        InvalidRequest: it measures no such model, or has no threshold.
    """
    sought = _sought(check(session, job_id), query)
    found = result.side_by_side(session, job_id, query.after, query.limit + 1, sought)
    return found[: query.limit], len(found) > query.limit


def _sought(row: JobRow, query: ResultQuery) -> Sought:
    names = measured(row)
    name = names[0] if query.model is None else query.model
    if name not in names:
        raise InvalidRequest(f"model: {row.id} measures {', '.join(names)}", param="model")
    sought = Sought(names.index(name), query.reference, query.answer)
    if query.threshold is None:
        return sought
    found: dict[str, Any] = next((each for each in (row.report or {}).get("models", []) if each["model"] == name), {})
    classes = [each["name"] for each in found.get("classes", [])]
    if query.answer not in classes or len(classes) != 2:
        told = "it goes with an `answer` that is a class, of a classifier of two that was measured to the end"
        raise InvalidRequest(f"threshold: {told}", param="threshold")
    return replace(sought, classes=(classes[0], classes[1]), threshold=query.threshold)


def measured(row: JobRow) -> list[str]:
    """Names of the models that an evaluation measures, in its order."""
    return [str(row.model["name"]), *(row.evaluate or {})["against"]]


def check(session: Session, job_id: str) -> JobRow:
    """An evaluation's row.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is none.
    """
    row = jobs.read(session, job_id)
    if row.evaluate is None:
        raise Conflict(f"{row.id} is a {row.recipe} job; results are those of evaluations")
    return row


def as_csv(database: Database, job_id: str) -> Iterator[str]:
    """A line of names, then one for each row and model, with the kind's figures last."""
    figures = sorted({name for each in _results(database, job_id) for name in each.figures})
    yield _line([*NAMES, *figures])
    for each in _results(database, job_id):
        found = [each.figures.get(name) for name in figures]
        yield _line([*(getattr(each, name) for name in NAMES), *map(_cell, found)])


def _results(database: Database, job_id: str) -> Iterator[ResultRow]:
    """All of a job, in short transactions: whoever reads them may be slow."""
    after = 0
    while True:
        with database.read() as session:
            found = result.side_by_side(session, job_id, after, ROWS_AT_ONCE)
        if not found:
            return
        for models in found:
            yield from models
        after = found[-1][0].row


def _cell(value: Any) -> Any:
    """A figure that is a list, as JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def _line(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
