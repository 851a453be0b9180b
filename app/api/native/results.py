"""/jobs/{job_id}/results: what an evaluation found for each row, the models side by side."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.db.tables.result import ResultRow
from app.errors import Conflict, InvalidRequest, JobNotFound
from app.schemas.base import Page
from app.schemas.evaluation import OfModel, ResultOut, ResultQuery
from app.services import results

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/{job_id}/results", responses=refusals(JobNotFound, Conflict, InvalidRequest))
def list_results(job_id: str, query: Annotated[ResultQuery, Query()], session: ReadSession) -> Page[ResultOut]:
    """What is found so far, by row: each model's answer, what the judge was asked and replied, and what went wrong.

    Of all rows, or of those with a `reference`, an `answer` of one model, or both: a cell of its confusion matrix.
    """
    found, has_more = results.page(session, job_id, query)
    return Page(data=[_result_out(models) for models in found], has_more=has_more)


@router.get(
    "/{job_id}/results.csv",
    response_class=StreamingResponse,
    responses=refusals(JobNotFound, Conflict) | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_results(job_id: str, runtime: RuntimeDep) -> StreamingResponse:
    """The same as CSV, a line for each row and model; without what the judge was asked."""
    with runtime.database.read() as session:
        results.check(session, job_id)
    headers = {"Content-Disposition": f'attachment; filename="{job_id}-results.csv"'}
    return StreamingResponse(results.as_csv(runtime.database, job_id), 200, headers, "text/csv; charset=utf-8")


def _result_out(models: list[ResultRow]) -> ResultOut:
    reference = next((each.reference for each in models if each.reference is not None), None)
    shown = [OfModel.model_validate(each) for each in models]
    return ResultOut(row=models[0].row, reference=reference, models=shown)
