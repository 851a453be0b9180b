"""/jobs/{job_id}/…: what is asked of a job that is there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Path, Response

from app.api.deps import RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.native.job_out import job_out
from app.errors import (
    CheckpointNotFound,
    Conflict,
    DataMissing,
    DatasetNotFound,
    IdempotencyKeyReused,
    JobNotFound,
    ModelNotFound,
    NameTaken,
    NoDiskSpace,
    TokenizerNotFound,
)
from app.schemas.job import DeletedCheckpointOut, DeletedJobOut, JobCancel, JobChanges, JobOut, JobPatch
from app.services import job_control, job_copies, job_removal

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])
Step = Annotated[int, Path(ge=0, le=2**31 - 1)]
GONE = (JobNotFound, DatasetNotFound, ModelNotFound, CheckpointNotFound, TokenizerNotFound)


@router.post("/cancel", responses=refusals(JobNotFound, Conflict))
def cancel_job(job_id: str, session: WriteSession, runtime: RuntimeDep, body: JobCancel | None = None) -> JobOut:
    """End a job: a queued or paused one at once, a running one within seconds. `keep_model`: a model stays of it."""
    keep_model = body is not None and body.keep_model
    return job_out(session, job_control.cancel(session, runtime, job_id, keep_model=keep_model))


@router.post("/pause", responses=refusals(JobNotFound, Conflict))
def pause_job(job_id: str, session: WriteSession) -> JobOut:
    """Pause a job: a queued one at once, a running one once it has saved a checkpoint after its present step."""
    return job_out(session, job_control.pause(session, job_id))


@router.post("/resume", responses=refusals(*GONE, Conflict))
def resume_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> JobOut:
    """Queue a paused job again; it goes on from its last checkpoint with the numbers it would have had."""
    return job_out(session, job_control.resume(session, runtime, job_id))


@router.post("/retry", responses=refusals(*GONE, Conflict, NameTaken))
def retry_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> JobOut:
    """Queue a failed or cancelled job again, from its last checkpoint if it has one; attempts are counted anew."""
    return job_out(session, job_control.retry(session, runtime, job_id))


@router.post(
    "/duplicate",
    status_code=202,
    responses=refusals(*GONE, DataMissing, NameTaken, NoDiskSpace, IdempotencyKeyReused)
    | {200: {"model": JobOut, "description": "The job that this request made when it came first."}},
)
def duplicate_job(
    job_id: str,
    changes: JobChanges,
    runtime: RuntimeDep,
    response: Response,
    idempotency_key: Annotated[str | None, Header()] = None,
) -> JobOut:
    """Queue a new job that does the same from the start, but for the changes. `Idempotency-Key` as for a new job."""
    created = job_copies.duplicate(runtime, job_id, changes, idempotency_key)
    response.headers["Location"] = f"/jobs/{created.row.id}"
    if not created.is_new:
        response.status_code = 200
    with runtime.database.read() as session:
        return job_out(session, created.row)


@router.patch("", responses=refusals(JobNotFound, Conflict))
def change_job(job_id: str, body: JobPatch, session: WriteSession) -> JobOut:
    """Change the priority of a job that waits."""
    return job_out(session, job_control.prioritise(session, job_id, body.priority))


@router.delete("/checkpoints/{step}", responses=refusals(JobNotFound, CheckpointNotFound, Conflict))
def delete_checkpoint(job_id: str, step: Step, session: WriteSession, runtime: RuntimeDep) -> DeletedCheckpointOut:
    """Delete one checkpoint of a job, but for the last one of a job that has not ended: it goes on from that."""
    return DeletedCheckpointOut(id=job_removal.delete_checkpoint(session, runtime, job_id, step))


@router.delete("", responses=refusals(JobNotFound, Conflict))
def delete_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> DeletedJobOut:
    """Delete a job that is not running, with its checkpoints, events and metrics. The model that it made stays."""
    job_removal.delete(session, runtime, job_id)
    return DeletedJobOut(id=job_id)
