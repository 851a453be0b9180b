"""/jobs/{job_id}/…: what is asked of a job that is there."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.native.job_out import job_out
from app.errors import Conflict, JobNotFound
from app.schemas.job import JobOut
from app.services import job_control

router = APIRouter(prefix="/jobs/{job_id}", tags=["jobs"])


@router.post("/cancel", responses=refusals(JobNotFound, Conflict))
def cancel_job(job_id: str, session: WriteSession) -> JobOut:
    """End a job: a queued or paused one at once, a running one within seconds, with what it has so far lost."""
    return job_out(job_control.cancel(session, job_id))


@router.post("/pause", responses=refusals(JobNotFound, Conflict))
def pause_job(job_id: str, session: WriteSession) -> JobOut:
    """Pause a job: a queued one at once, a running one once it has saved a checkpoint after its present step."""
    return job_out(job_control.pause(session, job_id))


@router.post("/resume", responses=refusals(JobNotFound, Conflict))
def resume_job(job_id: str, session: WriteSession, runtime: RuntimeDep) -> JobOut:
    """Queue a paused job again; it goes on from its last checkpoint with the numbers it would have had."""
    return job_out(job_control.resume(session, runtime, job_id))
