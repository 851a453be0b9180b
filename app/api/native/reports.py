"""/jobs/{job_id}/report, /models/{name}/report and …/evaluations: what a model makes of what it did not learn from."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.errors import CheckpointNotFound, DataMissing, JobNotFound, ModelNotFound, ReportNotFound
from app.schemas.base import Page
from app.schemas.classify import ClassReportOut
from app.schemas.evaluation import EvaluationOut, EvaluationReportOut, EvaluationsQuery
from app.services import evaluations, reports

router = APIRouter()


@router.get("/jobs/{job_id}/report", tags=["jobs"], responses=refusals(JobNotFound, ReportNotFound))
def read_job_report(job_id: str, session: ReadSession) -> ClassReportOut | EvaluationReportOut:
    """Of a classify job that has succeeded: how its classifier does on the rows that were held out. Of an evaluation:
    what all of its rows together say of each model."""
    report = reports.of_job(session, job_id)
    shape = EvaluationReportOut if "kind" in report else ClassReportOut
    return shape.model_validate(report)


@router.get("/models/{name}/report", tags=["models"], responses=refusals(ModelNotFound, ReportNotFound))
def read_model_report(name: str, session: ReadSession) -> ClassReportOut:
    """The report of the job that made the model; it stays when the job is deleted."""
    return ClassReportOut.model_validate(reports.of_model(session, name))


@router.get(
    "/models/{name}/evaluations",
    tags=["models"],
    responses=refusals(ModelNotFound, CheckpointNotFound, JobNotFound, DataMissing),
)
def list_evaluations(
    name: str, query: Annotated[EvaluationsQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> Page[EvaluationOut]:
    """The evaluations that measured this model and have succeeded, newest first."""
    model = runtime.catalogue.info(session, name)
    found, has_more = evaluations.page(session, model, query.after, query.limit)
    return Page(data=[EvaluationOut.model_validate(each) for each in found], has_more=has_more)
