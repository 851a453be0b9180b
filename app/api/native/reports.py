"""/jobs/{job_id}/report and /models/{name}/report: what a trained model makes of what it did not learn from."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import ReadSession
from app.api.errors import refusals
from app.errors import JobNotFound, ModelNotFound, ReportNotFound
from app.schemas.classify import ClassReportOut
from app.services import reports

router = APIRouter()


@router.get("/jobs/{job_id}/report", tags=["jobs"], responses=refusals(JobNotFound, ReportNotFound))
def read_job_report(job_id: str, session: ReadSession) -> ClassReportOut:
    """Of a classify job that has succeeded: how its classifier does on the rows that were held out."""
    return ClassReportOut.model_validate(reports.of_job(session, job_id))


@router.get("/models/{name}/report", tags=["models"], responses=refusals(ModelNotFound, ReportNotFound))
def read_model_report(name: str, session: ReadSession) -> ClassReportOut:
    """The report of the job that made the model; it stays when the job is deleted."""
    return ClassReportOut.model_validate(reports.of_model(session, name))
