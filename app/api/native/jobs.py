"""/jobs: ask for training, look at it, follow it, end it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import format_sse_event

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.sse import EventStreamResponse
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.errors import (
    CheckpointNotFound,
    Conflict,
    DataMissing,
    DatasetNotFound,
    InvalidRequest,
    JobNotFound,
    ModelNotFound,
    NameTaken,
    TokenizerNotFound,
)
from app.schemas.base import Page
from app.schemas.job import (
    CheckpointOut,
    EventOut,
    EventQuery,
    JobCreate,
    JobError,
    JobOut,
    JobQuery,
    JobResult,
    MetricOut,
    MetricQuery,
)
from app.services import jobs
from app.services.runtime import Runtime

EVENT_STREAM = "text/event-stream"
POLL_S = 0.5
EVENTS_AT_ONCE = 500

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    responses=refusals(DatasetNotFound, ModelNotFound, CheckpointNotFound, TokenizerNotFound, DataMissing, NameTaken),
)
def create_job(body: JobCreate, runtime: RuntimeDep, response: Response) -> JobOut:
    """Queue a training job. Follow it at its `Location`."""
    row = jobs.create(runtime, body)
    response.headers["Location"] = f"/jobs/{row.id}"
    return _out(row)


@router.get("", responses=refusals(JobNotFound))
def list_jobs(query: Annotated[JobQuery, Query()], session: ReadSession) -> Page[JobOut]:
    """All jobs, newest first."""
    found, has_more = jobs.page(session, query.after, query.limit)
    return Page(data=[_out(row) for row in found], has_more=has_more)


@router.get("/{job_id}", responses=refusals(JobNotFound))
def read_job(job_id: str, session: ReadSession) -> JobOut:
    """One job."""
    return _out(jobs.read(session, job_id))


@router.post("/{job_id}/cancel", responses=refusals(JobNotFound, Conflict))
def cancel_job(job_id: str, session: WriteSession) -> JobOut:
    """End a job: a queued one at once, a running one within seconds, with what it has so far lost."""
    return _out(jobs.cancel(session, job_id))


@router.get("/{job_id}/metrics", responses=refusals(JobNotFound))
def list_metrics(job_id: str, query: Annotated[MetricQuery, Query()], session: ReadSession) -> Page[MetricOut]:
    """What was measured, by step."""
    found, has_more = jobs.metrics(session, job_id, query.after, query.limit)
    return Page(data=[MetricOut.model_validate(row) for row in found], has_more=has_more)


@router.get("/{job_id}/checkpoints", responses=refusals(JobNotFound))
def list_checkpoints(job_id: str, session: ReadSession) -> Page[CheckpointOut]:
    """The complete checkpoints that are kept, newest first."""
    return Page(data=[_checkpoint_out(row) for row in jobs.checkpoints(session, job_id)], has_more=False)


@router.get(
    "/{job_id}/events",
    response_model=Page[EventOut],
    responses=refusals(JobNotFound) | {200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}}},
)
def list_events(
    job_id: str,
    query: Annotated[EventQuery, Query()],
    request: Request,
    runtime: RuntimeDep,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Any:
    """What happened, oldest first; with `Accept: text/event-stream`, also what happens until the job has ended."""
    after = query.after if last_event_id is None else _event_id(last_event_id)
    with runtime.database.read() as session:
        found, has_more = jobs.events(session, job_id, after, query.limit)
    if EVENT_STREAM in request.headers.get("accept", ""):
        return EventStreamResponse(_follow(runtime, job_id, after))
    return Page(data=[_event_out(row) for row in found], has_more=has_more)


async def _follow(runtime: Runtime, job_id: str, after: int) -> AsyncGenerator[bytes, None]:
    """Each event as a frame whose id is the event's; ends once the job's last one is out."""
    while True:
        rows, is_last = await asyncio.to_thread(_news, runtime, job_id, after)
        for row in rows:
            after = row.id
            yield format_sse_event(data_str=_event_out(row).model_dump_json(), id=str(row.id))
        if is_last:
            return
        if len(rows) < EVENTS_AT_ONCE:
            await asyncio.sleep(POLL_S)


def _news(runtime: Runtime, job_id: str, after: int) -> tuple[list[EventRow], bool]:
    """What is new, and whether nothing can follow. The state is read first: its event is written together with it."""
    with runtime.database.read() as session:
        is_final = jobs.read(session, job_id).is_final
        rows, has_more = jobs.events(session, job_id, after, EVENTS_AT_ONCE)
    return rows, is_final and not has_more


def _event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"Last-Event-ID: {text[:50]!r} is no event's id", param="Last-Event-ID")
    return int(text)


def _out(row: JobRow) -> JobOut:
    only = row.datasets[0]
    is_one = len(row.datasets) == 1 and only["weight"] == 1.0 and "column" not in only
    return JobOut(
        id=row.id,
        recipe=row.recipe,
        name=row.name,
        status=row.status,
        step=row.step,
        total_steps=row.total_steps,
        progress=row.step / row.total_steps if row.total_steps else None,
        dataset=only["dataset"] if is_one else row.datasets,
        model=row.model.get("name") or row.model,
        tokenizer=row.tokenizer,
        validation=row.validation.get("dataset") or row.validation["fraction"],
        train=row.train,
        device=row.device,
        devices=row.devices,
        priority=row.priority,
        seed=row.seed,
        attempt=row.attempt,
        cancel_requested=row.cancel_requested,
        created_at=int(row.created_at),
        started_at=None if row.started_at is None else int(row.started_at),
        finished_at=None if row.finished_at is None else int(row.finished_at),
        error=None if row.error is None else JobError(**row.error),
        result=None
        if row.result_model is None
        else JobResult(model=row.result_model, checkpoint=row.result_checkpoint),
    )


def _event_out(row: EventRow) -> EventOut:
    return EventOut.model_validate(row)


def _checkpoint_out(row: CheckpointRow) -> CheckpointOut:
    return CheckpointOut(
        id=row.id,
        job=row.job_id,
        step=row.step,
        attempt=row.attempt,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        metrics=row.metrics,
        created_at=int(row.created_at),
    )
