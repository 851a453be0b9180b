"""What evaluations found, row by row: in pages, and as a table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import result
from app.db.tables.result import ResultRow
from app.errors import Conflict
from app.services import jobs

ROWS_AT_ONCE = 500
NAMES = ("row", "model", "prompt", "reference", "answer", "score", "verdict", "error")


def page(session: Session, job_id: str, after: int, limit: int) -> tuple[list[list[ResultRow]], bool]:
    """Of up to `limit` rows behind `after` the results with all models, and whether more follow.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is no evaluation.
    """
    check(session, job_id)
    found = result.side_by_side(session, job_id, after, limit + 1)
    return found[:limit], len(found) > limit


def check(session: Session, job_id: str) -> None:
    """Pass an evaluation.

    Raises:
        JobNotFound: there is no such job.
        Conflict: it is none.
    """
    row = jobs.read(session, job_id)
    if row.evaluate is None:
        raise Conflict(f"{row.id} is a {row.recipe} job; results are those of evaluations")


def as_csv(database: Database, job_id: str) -> Iterator[str]:
    """A line of names, then one for each row and model, with the kind's figures last."""
    figures = sorted({name for each in _results(database, job_id) for name in each.figures})
    yield _line([*NAMES, *figures])
    for each in _results(database, job_id):
        yield _line([*(getattr(each, name) for name in NAMES), *(each.figures.get(name) for name in figures)])


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


def _line(values: list[Any]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerow(values)
    return buffer.getvalue()
