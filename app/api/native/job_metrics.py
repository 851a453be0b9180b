"""/jobs/{job_id}/metrics: what a job measured, in pages, thinned, and as files for other programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.errors import InvalidRequest, JobNotFound
from app.schemas.base import Page
from app.schemas.job_history import MetricOut, MetricQuery
from app.services import jobs, metric_files
from app.services.runtime import Runtime

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.get("/{job_id}/metrics", responses=refusals(JobNotFound))
def list_metrics(job_id: str, query: Annotated[MetricQuery, Query()], session: ReadSession) -> Page[MetricOut]:
    """What was measured, by step: a page of all steps, or `points` of them that show the curve."""
    if query.points is None:
        found, has_more = jobs.metrics(session, job_id, query.after, query.limit)
    elif "limit" in query.model_fields_set:
        raise InvalidRequest("points: a curve has so many points; `limit` is for pages", param="points")
    else:
        found, has_more = jobs.curve(session, job_id, query.after, query.points), False
    return Page(data=[MetricOut.model_validate(row) for row in found], has_more=has_more)


@router.get(
    "/{job_id}/metrics.csv",
    response_class=StreamingResponse,
    responses=refusals(JobNotFound) | {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_csv(job_id: str, runtime: RuntimeDep) -> StreamingResponse:
    """All metrics as CSV, one line a step."""
    _created_at(runtime, job_id)
    return _sent(metric_files.as_csv(runtime.database, job_id), "text/csv; charset=utf-8", f"{job_id}.csv")


@router.get(
    "/{job_id}/tensorboard",
    response_class=StreamingResponse,
    responses=refusals(JobNotFound)
    | {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def export_tensorboard(job_id: str, runtime: RuntimeDep) -> StreamingResponse:
    """All metrics as an event file, which TensorBoard shows from a folder of its own."""
    created_at = _created_at(runtime, job_id)
    records = metric_files.as_event_file(runtime.database, job_id, created_at)
    return _sent(records, "application/octet-stream", f"events.out.tfevents.{int(created_at)}.{job_id}")


def _created_at(runtime: Runtime, job_id: str) -> float:
    with runtime.database.read() as session:
        return jobs.read(session, job_id).created_at


def _sent(pieces: Iterable[str | bytes], media_type: str, file_name: str) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{file_name}"'}
    return StreamingResponse(pieces, media_type=media_type, headers=headers)
