"""What jobs and models keep of a report on what was held out."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import model as model_table
from app.errors import ModelNotFound, ReportNotFound
from app.services import jobs
from app.services.model_files import BUILT_IN
from app.services.storage import NAME


def of_job(session: Session, job_id: str) -> dict[str, Any]:
    """The report that a job made at its end.

    Raises:
        JobNotFound: there is no such job.
        ReportNotFound: it has none, or none yet.
    """
    row = jobs.read(session, job_id)
    if row.report is None:
        told = f"{row.id} is {row.status} and has no report"
        raise ReportNotFound(f"{told}; classify jobs that keep rows back make one when they succeed")
    return row.report


def of_model(session: Session, name: str) -> dict[str, Any]:
    """The report of the job that made a model.

    Raises:
        ModelNotFound: there is no such model.
        ReportNotFound: it has none.
    """
    row = model_table.get(session, name) if NAME.fullmatch(name) else None
    if row is None and name not in BUILT_IN:
        raise ModelNotFound(f"there is no model {name[:200]!r}; GET /models lists them", param="name")
    if row is None or row.report is None:
        raise ReportNotFound(f"{name} has no report; a classify job that keeps rows back makes one")
    return row.report
