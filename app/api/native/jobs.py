"""/jobs: ask for training, look at it, follow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.sse import format_sse_event

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.api.native.job_out import checkpoint_out, event_out, job_out, jobs_out
from app.api.sse import EventStreamResponse
from app.db.tables.event import EventRow
from app.db.tables.job_list import Wanted
from app.errors import (
    CheckpointNotFound,
    DataMissing,
    DatasetNotFound,
    IdempotencyKeyReused,
    InvalidRequest,
    JobNotFound,
    ModelNotFound,
    NameTaken,
    NoDiskSpace,
    PackageMissing,
    TokenizerNotFound,
)
from app.schemas.base import Page
from app.schemas.job import JobCreate, JobOut, JobQuery
from app.schemas.job_history import CheckpointOut, EventOut, EventQuery
from app.services import jobs, presence, retention
from app.services.runtime import Runtime

EVENT_STREAM = "text/event-stream"
POLL_S = 0.5
EVENTS_AT_ONCE = 500

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "",
    status_code=202,
    responses=refusals(
        DatasetNotFound,
        ModelNotFound,
        CheckpointNotFound,
        TokenizerNotFound,
        DataMissing,
        PackageMissing,
        NameTaken,
        IdempotencyKeyReused,
        NoDiskSpace,
    )
    | {200: {"model": JobOut, "description": "The job that this request made when it came first."}},
)
def create_job(
    body: JobCreate, runtime: RuntimeDep, response: Response, idempotency_key: Annotated[str | None, Header()] = None
) -> JobOut:
    """Queue a training job. Follow it at its `Location`. With an `Idempotency-Key`, sending it twice makes one job."""
    created = jobs.create(runtime, body, idempotency_key)
    response.headers["Location"] = f"/jobs/{created.row.id}"
    if not created.is_new:
        response.status_code = 200
    with runtime.database.read() as session:
        return job_out(session, created.row)


@router.get("", responses=refusals(JobNotFound))
def list_jobs(query: Annotated[JobQuery, Query()], session: ReadSession, runtime: RuntimeDep) -> Page[JobOut]:
    """All jobs, or those of a status, recipe, model or dataset, newest first."""
    recipes = () if query.recipe is None else (query.recipe,)
    wanted = Wanted(tuple(query.status), recipes, query.model, query.dataset)
    found, has_more = jobs.page(session, query.after, query.limit, wanted)
    lacking = presence.waiting_for(session, found, runtime.settings.lease_s)
    return Page(data=jobs_out(session, found, lacking), has_more=has_more)


@router.get("/{job_id}", responses=refusals(JobNotFound))
def read_job(job_id: str, session: ReadSession, runtime: RuntimeDep) -> JobOut:
    """One job."""
    row = jobs.read(session, job_id)
    return job_out(session, row, presence.waiting_for(session, [row], runtime.settings.lease_s).get(row.id))


@router.get("/{job_id}/checkpoints", responses=refusals(JobNotFound))
def list_checkpoints(job_id: str, session: ReadSession) -> Page[CheckpointOut]:
    """The complete checkpoints that are kept, newest first."""
    rows = jobs.checkpoints(session, job_id)
    best = retention.best(rows)
    return Page(data=[checkpoint_out(row, row is best) for row in rows], has_more=False)


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
        found, has_more = jobs.events(session, job_id, after, query.limit, query.type)
    if EVENT_STREAM in request.headers.get("accept", ""):
        return EventStreamResponse(_follow(runtime, job_id, after, query.type))
    return Page(data=[event_out(row) for row in found], has_more=has_more)


async def _follow(runtime: Runtime, job_id: str, after: int, types: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """Each event as a frame whose id is the event's; ends once the job's last one is out, or the job is deleted."""
    while True:
        try:
            rows, is_last = await asyncio.to_thread(_news, runtime, job_id, after, types)
        except JobNotFound:
            return  # the answer has begun; who asks for the job next is told
        for row in rows:
            after = row.id
            yield format_sse_event(data_str=event_out(row).model_dump_json(), id=str(row.id))
        if is_last:
            return
        if len(rows) < EVENTS_AT_ONCE:
            await asyncio.sleep(POLL_S)


def _news(runtime: Runtime, job_id: str, after: int, types: Sequence[str]) -> tuple[list[EventRow], bool]:
    """What is new, and whether nothing can follow. The state is read first: its event is written together with it."""
    with runtime.database.read() as session:
        is_final = jobs.read(session, job_id).is_final
        rows, has_more = jobs.events(session, job_id, after, EVENTS_AT_ONCE, types)
    return rows, is_final and not has_more


def _event_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise InvalidRequest(f"Last-Event-ID: {text[:50]!r} is no event's id", param="Last-Event-ID")
    return int(text)
