"""The first state of a job whose texts are large: they are read through before it is queued. Steps of its row.

    validating_files --queue--> queued
                     --finish-> failed | cancelled

Whoever reads holds the row by a lease and a fence, as a trainer does later; nothing else of a running job is there yet.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.db.base import db_now
from app.db.tables import job
from app.db.tables.job import Ending, JobRow

VALIDATING = "validating_files"
_FREE = (JobRow.status == VALIDATING, JobRow.lease_until.is_(None), JobRow.not_before <= db_now())


def is_waiting(session: Session) -> bool:
    """Whether a job's texts are to be read by somebody. A look alone, which keeps nobody from writing."""
    return session.scalar(select(JobRow.id).where(*_FREE).limit(1)) is not None


def claim(session: Session, worker_id: str, lease_s: float) -> JobRow | None:
    """Take the oldest job whose texts nobody reads, for `lease_s` seconds, with a new fence; None without any."""
    free = (
        select(JobRow.id)
        .where(*_FREE)
        .order_by(JobRow.priority.desc(), JobRow.created_at, JobRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(JobRow)
        .where(JobRow.id == free.scalar_subquery(), JobRow.status == VALIDATING, JobRow.lease_until.is_(None))
        .values(fence=JobRow.fence + 1, worker_id=worker_id, lease_until=db_now() + lease_s)
        .returning(JobRow)
    )
    return session.scalar(taken, execution_options={"populate_existing": True, "synchronize_session": False})


def renew(session: Session, job_id: str, fence: int, lease_s: float) -> bool:
    """Hold it for another `lease_s` seconds; False if it is not this fence's any more."""
    renewed = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.fence == fence, JobRow.status == VALIDATING)
        .values(lease_until=db_now() + lease_s)
        .returning(JobRow.id)
    )
    return session.scalar(renewed, execution_options={"synchronize_session": False}) is not None


def hold(session: Session, job_id: str, fence: int) -> JobRow | None:
    """The row, locked until the transaction ends, if `fence` is the one that reads; None for a stale reader."""
    row = job.lock(session, job_id)
    return row if row is not None and row.status == VALIDATING and row.fence == fence else None


def queue(row: JobRow) -> None:
    """Its texts are good: a trainer may claim it."""
    row.status = "queued"
    row.worker_id = row.lease_until = None
    row.stalled_attempts = 0
    row.not_before = row.nudged_at = db_now()


def let_go(row: JobRow) -> None:
    """Leave it to another reader, at no cost to it."""
    row.worker_id = row.lease_until = None


def expired(session: Session) -> list[JobRow]:
    """Those whose reader fell silent, locked; those that another process has locked are left to it."""
    query = select(JobRow).where(JobRow.status == VALIDATING, JobRow.lease_until < db_now())
    return list(session.scalars(query.with_for_update(skip_locked=True)))


def take_back(row: JobRow, max_stalled: int) -> None:
    """Have another read it after a while; it fails once `max_stalled` readers died."""
    row.stalled_attempts += 1
    row.not_before = db_now() + job.BACKOFF_S * 2 ** (row.stalled_attempts - 1)
    let_go(row)
    if row.stalled_attempts >= max_stalled:
        told = f"{row.stalled_attempts} processes that read its texts died"
        job.finish(row, Ending("failed", {"code": "attempts_exhausted", "message": told, "param": "dataset"}))
