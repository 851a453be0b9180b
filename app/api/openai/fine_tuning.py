"""/v1/fine_tuning/jobs: training jobs, as OpenAI's clients ask for them and follow them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.openai.fine_tuning_out import checkpoint_out, event_id, event_out, job_out, jobs_out
from app.errors import (
    CheckpointNotFound,
    Conflict,
    DataMissing,
    DatasetNotFound,
    IdempotencyKeyReused,
    JobNotFound,
    ModelNotFound,
    NoDiskSpace,
    TokenizerNotFound,
)
from app.schemas.openai_fine_tuning import (
    FineTuningCheckpointQuery,
    FineTuningCheckpointsOut,
    FineTuningCreate,
    FineTuningEventsOut,
    FineTuningJobOut,
    FineTuningJobsOut,
    FineTuningJobsQuery,
    FineTuningQuery,
)
from app.services import fine_tuning, job_control, jobs

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["openai"])
GONE = (JobNotFound, DatasetNotFound, ModelNotFound, CheckpointNotFound)


@router.post(
    "",
    responses=refusals(
        DatasetNotFound,
        ModelNotFound,
        CheckpointNotFound,
        TokenizerNotFound,
        DataMissing,
        IdempotencyKeyReused,
        NoDiskSpace,
    ),
)
def create_fine_tuning_job(
    body: FineTuningCreate, runtime: RuntimeDep, idempotency_key: Annotated[str | None, Header()] = None
) -> FineTuningJobOut:
    """Queue a job. With an `Idempotency-Key`, sending it twice makes one."""
    created = fine_tuning.create(runtime, body, idempotency_key)
    with runtime.database.read() as session:
        return job_out(session, created.row)


@router.get("", responses=refusals(JobNotFound))
def list_fine_tuning_jobs(query: Annotated[FineTuningJobsQuery, Query()], session: ReadSession) -> FineTuningJobsOut:
    """Jobs of all methods, newest first; `metadata[key]=value` chooses those with such a pair."""
    found, has_more = fine_tuning.page(session, query.after, query.limit, query.metadata)
    return FineTuningJobsOut(data=jobs_out(session, found), has_more=has_more)


@router.get("/{job_id}", responses=refusals(JobNotFound))
def read_fine_tuning_job(job_id: str, session: ReadSession) -> FineTuningJobOut:
    """One job."""
    return job_out(session, fine_tuning.read(session, job_id))


@router.post("/{job_id}/cancel", responses=refusals(JobNotFound, Conflict))
def cancel_fine_tuning_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> FineTuningJobOut:
    """End a job: a queued or paused one at once, a running one within seconds."""
    fine_tuning.read(session, job_id)
    return job_out(session, job_control.cancel(session, runtime, job_id))


@router.post("/{job_id}/pause", responses=refusals(JobNotFound, Conflict))
def pause_fine_tuning_job(job_id: str, session: WriteSession) -> FineTuningJobOut:
    """Pause a job: a queued one at once, a running one once it has saved a checkpoint after its present step."""
    fine_tuning.read(session, job_id)
    return job_out(session, job_control.pause(session, job_id))


@router.post("/{job_id}/resume", responses=refusals(*GONE, Conflict))
def resume_fine_tuning_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> FineTuningJobOut:
    """Queue a paused job again; it goes on from its last checkpoint."""
    fine_tuning.read(session, job_id)
    return job_out(session, job_control.resume(session, runtime, job_id))


@router.get("/{job_id}/events", responses=refusals(JobNotFound))
def list_fine_tuning_events(
    job_id: str, query: Annotated[FineTuningQuery, Query()], session: ReadSession
) -> FineTuningEventsOut:
    """What happened, newest first; `after` leads to what was before."""
    fine_tuning.read(session, job_id)
    before = None if query.after is None else event_id(query.after)
    found, has_more = jobs.newest_events(session, job_id, before, query.limit)
    return FineTuningEventsOut(data=[event_out(row) for row in found], has_more=has_more)


@router.get("/{job_id}/checkpoints", responses=refusals(JobNotFound, CheckpointNotFound))
def list_fine_tuning_checkpoints(
    job_id: str, query: Annotated[FineTuningCheckpointQuery, Query()], session: ReadSession
) -> FineTuningCheckpointsOut:
    """The complete checkpoints that are kept, newest first."""
    fine_tuning.read(session, job_id)
    found, has_more = jobs.checkpoint_page(session, job_id, query.after, query.limit)
    first, last = (found[0].id, found[-1].id) if found else (None, None)
    data = [checkpoint_out(row) for row in found]
    return FineTuningCheckpointsOut(data=data, first_id=first, last_id=last, has_more=has_more)
