"""A job: the row, and the compare-and-set steps of its life. The row is the queue of record.

    (validating_files, see `job_validation`, -->)
    queued --claim--> running --finish--> succeeded | failed | cancelled
     | ^                 |
     | +-- release, take_back --+
     +--- pause ---> paused <---+
          resume <------+        (retry: failed and cancelled ones, too)

Each claim makes `fence` grow by one; every later step of a holder names its fence and does nothing when it is stale.
All times come from the database's clock. Knows no events and no broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Index,
    Select,
    and_,
    case,
    exists,
    false,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now
from app.db.owned import is_own, visible
from app.db.tables.checkpoint import CheckpointRow

FINAL = ("succeeded", "failed", "cancelled")
LIVE = ("validating_files", "queued", "running", "paused")
BACKOFF_S = 2.0  # before a job that made no progress is tried again; doubles with each such attempt in a row
LONGEST_BACKOFF_S = 60.0
_IS_NOBODYS = text("owner IS NULL")
_IS_LIVE = text("status IN ('validating_files', 'queued', 'running', 'paused')")


class JobRow(Base):
    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_queue", "status", "priority", "created_at"),
        # Of two requests at once, one is let through; databases hold no two owners that are NULL for the same.
        Index("uq_jobs_idempotency_key", "owner", "idempotency_key", unique=True),
        Index(
            "uq_jobs_nobodys_idempotency_key",
            "idempotency_key",
            unique=True,
            sqlite_where=_IS_NOBODYS,
            postgresql_where=_IS_NOBODYS,
        ),
        # Two live jobs would write one model; the database itself lets only one of two simultaneous requests through.
        Index("uq_jobs_live_name", "name", unique=True, sqlite_where=_IS_LIVE, postgresql_where=_IS_LIVE),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    recipe: Mapped[str]
    name: Mapped[str]  # the name its model will have
    status: Mapped[str]  # validating_files | queued | running | paused | succeeded | failed | cancelled
    datasets: Mapped[list[dict[str, Any]]]  # [{dataset, weight}]
    model: Mapped[dict[str, Any]]  # as asked: {"name": …} or {"preset"?: …, …config}
    model_versions: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # hashes, by name
    tokenizer: Mapped[str]
    columns: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # of rows, by role
    validation: Mapped[dict[str, Any]]  # {"dataset": id} or {"fraction": 0.1}; of rows perhaps {"test": 0.2} as well
    train: Mapped[dict[str, Any]]  # a whole TrainConfig; empty of an evaluation
    evaluate: Mapped[dict[str, Any] | None]  # what an evaluation measures, and its settings
    judge_key: Mapped[str | None]  # sent to its judge's server; never shown
    device: Mapped[str]
    devices: Mapped[int]
    priority: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)

    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int | None]
    attempt: Mapped[int] = mapped_column(default=0)  # attempts begun
    stalled_attempts: Mapped[int] = mapped_column(
        default=0
    )  # the last ones in a row without a later step or checkpoint
    attempt_from_step: Mapped[int] = mapped_column(default=0)  # the latest step that any earlier attempt reached
    fence: Mapped[int] = mapped_column(default=0)  # grows with each claim; a stale holder's writes carry an old one
    worker_id: Mapped[str | None]
    lease_until: Mapped[float | None]
    not_before: Mapped[float] = mapped_column(default=0.0)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    keep_model: Mapped[bool] = mapped_column(default=False, server_default=false())  # when it is cancelled
    pause_requested: Mapped[bool] = mapped_column(default=False, server_default=false())  # of a running job alone
    nudged_at: Mapped[float | None]  # when the workers were last told of it; None: not since it was queued

    error: Mapped[dict[str, Any] | None] = mapped_column(default=None)
    report: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # on what was held out
    result_model: Mapped[str | None]
    result_checkpoint: Mapped[str | None]
    owner: Mapped[str | None]  # the id of the key that asked for it; None: it is there for all
    idempotency_key: Mapped[str | None]  # of the request that made it
    webhook_url: Mapped[str | None]  # told when it ends
    webhook_secret: Mapped[str | None]  # never shown
    request_sha256: Mapped[str | None]  # of that request's body; None where no key came with it
    traceparent: Mapped[str | None]  # of the request that made it, by W3C Trace Context; None: it was not traced
    client_metadata: Mapped[dict[str, Any] | None] = mapped_column(default=None)  # what a client notes for itself
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]

    @property
    def is_final(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True)
class Ending:
    """How a holder's job ends: the state, and what belongs to it."""

    status: str  # succeeded | failed | cancelled
    error: dict[str, Any] | None = None  # {code, message, param}
    model: str | None = None
    checkpoint: str | None = None


def get(session: Session, job_id: str) -> JobRow | None:
    """The row; another key's is none, here and in lists."""
    return session.scalar(_one(session, job_id))


def _one(session: Session, job_id: str) -> Select[JobRow]:
    return select(JobRow).where(JobRow.id == job_id, visible(session, JobRow.owner))


def of_key(session: Session, idempotency_key: str) -> JobRow | None:
    """The job that a request with this key has made, of the session's owner alone."""
    is_asked_for = JobRow.idempotency_key == idempotency_key
    return session.scalar(select(JobRow).where(is_asked_for, is_own(session, JobRow.owner)))


def live_with_name(session: Session, name: str) -> JobRow | None:
    """Whosever it is."""
    return session.scalar(select(JobRow).where(JobRow.name == name, JobRow.status.in_(LIVE)))


def live(session: Session) -> list[JobRow]:
    """Jobs that have not ended, whosever they are."""
    return list(session.scalars(select(JobRow).where(JobRow.status.in_(LIVE))))


def kept_with_tokenizer(session: Session, tokenizer: str) -> list[str]:
    """Ids of the jobs that have checkpoints which read and write with a tokenizer, whosever they are."""
    has_checkpoint = exists().where(CheckpointRow.job_id == JobRow.id)
    return list(session.scalars(select(JobRow.id).where(JobRow.tokenizer == tokenizer, has_checkpoint)))


def lock(session: Session, job_id: str) -> JobRow | None:
    """The row as it is now, locked until the transaction ends (on SQLite, the write scope is the lock)."""
    query = _one(session, job_id).with_for_update()
    return session.scalar(query, execution_options={"populate_existing": True})


def hold(session: Session, job_id: str, fence: int) -> JobRow | None:
    """As `lock`, if `fence` is the one that runs the job; None for a stale holder."""
    row = lock(session, job_id)
    return row if row is not None and row.status == "running" and row.fence == fence else None


def claim(session: Session, worker_id: str, lease_s: float, devices: Mapping[str, int] | None = None) -> JobRow | None:
    """Take the best queued job (priority, then age) for `lease_s` seconds: its row, running, with a new fence.

    None if nothing is due. Two workers that claim at once get two jobs, or one of them none.

    Args:
        devices: how many of each kind the worker has; None: all that any job asks for.
    """
    fits = true() if devices is None else _fits(devices)
    due = (
        select(JobRow.id)
        .where(JobRow.status == "queued", JobRow.not_before <= db_now(), fits)
        .order_by(JobRow.priority.desc(), JobRow.created_at, JobRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    reached = case((JobRow.step > JobRow.attempt_from_step, JobRow.step), else_=JobRow.attempt_from_step)
    taken = (
        update(JobRow)
        .where(JobRow.id == due.scalar_subquery(), JobRow.status == "queued")
        .values(
            status="running",
            fence=JobRow.fence + 1,
            attempt=JobRow.attempt + 1,
            attempt_from_step=reached,
            worker_id=worker_id,
            lease_until=db_now() + lease_s,
            started_at=func.coalesce(JobRow.started_at, db_now()),
        )
        .returning(JobRow)
    )
    return session.scalar(taken, execution_options={"populate_existing": True, "synchronize_session": False})


def _fits(devices: Mapping[str, int]) -> ColumnElement[bool]:
    kinds = {**devices, "auto": max(devices.values(), default=0)}
    return or_(*(and_(JobRow.device == kind, JobRow.devices <= count) for kind, count in kinds.items()))


def keep_report(session: Session, job_id: str, report: dict[str, Any]) -> None:
    """Write down what the job made of what it held out; its holder does, in the transaction that ends it."""
    session.execute(update(JobRow).where(JobRow.id == job_id).values(report=report))


@dataclass(frozen=True)
class Lease:
    """What a holder learns with each renewal."""

    cancel_requested: bool
    pause_requested: bool
    keep_model: bool = False  # once cancelled


def renew(session: Session, job_id: str, fence: int, lease_s: float) -> Lease | None:
    """Hold the job for another `lease_s` seconds from now; None if it is not this fence's any more."""
    renewed = (
        update(JobRow)
        .where(JobRow.id == job_id, JobRow.fence == fence, JobRow.status == "running")
        .values(lease_until=db_now() + lease_s)
        .returning(JobRow.cancel_requested, JobRow.pause_requested, JobRow.keep_model)
    )
    asked = session.execute(renewed, execution_options={"synchronize_session": False}).one_or_none()
    return None if asked is None else Lease(*asked)


def is_leased(session: Session, job_id: str, fence: int) -> bool:
    """Whether the job runs under this fence and a lease that has not run out."""
    leased = select(JobRow.id).where(
        JobRow.id == job_id, JobRow.fence == fence, JobRow.status == "running", JobRow.lease_until > db_now()
    )
    return session.scalar(leased) is not None


def prolong(session: Session, job_id: str, fence: int, lease_until: float, lease_s: float) -> float | None:
    """Hold a job for a holder that has not renewed its lease yet: when it ends now, or None if it did or lost it."""
    prolonged = (
        update(JobRow)
        .where(
            JobRow.id == job_id,
            JobRow.fence == fence,
            JobRow.status == "running",
            JobRow.lease_until == lease_until,
        )
        .values(lease_until=db_now() + lease_s)
        .returning(JobRow.lease_until)
    )
    return session.scalar(prolonged, execution_options={"synchronize_session": False})


def finish(row: JobRow, ending: Ending) -> None:
    """End a held or queued job; nothing changes its state afterwards."""
    row.status = ending.status
    row.error = ending.error
    row.result_model = ending.model
    row.result_checkpoint = ending.checkpoint
    row.finished_at = db_now()
    row.pause_requested = False
    row.worker_id = row.lease_until = None


def pause(row: JobRow, error: dict[str, Any] | None = None) -> None:
    """Lay a held or queued job aside until it is resumed; `error` where it was not asked for but came about."""
    row.status = "paused"
    row.error = error
    row.pause_requested = False
    row.worker_id = row.lease_until = None


def resume(row: JobRow) -> None:
    """Put a paused job back into the queue, to be claimed at once."""
    row.error = None
    _requeue(row, wait_s=0.0)


def retry(row: JobRow) -> None:
    """Put a failed or cancelled job back into the queue; what its attempts brought before counts no more."""
    row.stalled_attempts = 0
    row.cancel_requested = row.keep_model = False
    row.finished_at = row.result_model = row.result_checkpoint = None
    resume(row)


def release(row: JobRow) -> None:
    """Let go of a held job: cancelled or paused where that was asked, else queued, to be claimed at once.

    One whose model is to be kept is queued, too: the next holder makes the model, and then ends it. This uses up none
    of its attempts.
    """
    if row.cancel_requested and not row.keep_model:
        finish(row, Ending("cancelled"))
    elif row.pause_requested and not row.cancel_requested:
        pause(row)
    else:
        _requeue(row, wait_s=0.0)


def take_back(session: Session, row: JobRow, max_stalled: int, why: str) -> None:
    """End the attempt of a locked, running job whose holder died or went silent.

    The job goes back into the queue, after a while where the attempt brought neither a later step nor a new
    checkpoint; it fails with `attempts_exhausted` once `max_stalled` of them in a row were such. A job that was to
    be cancelled or paused is that.

    Args:
        why: what became of the holder, for the error.
    """
    made_checkpoint = exists().where(CheckpointRow.job_id == row.id, CheckpointRow.fence == row.fence)
    if not (row.step > row.attempt_from_step or session.scalar(select(made_checkpoint))):
        row.stalled_attempts += 1
        wait_s = min(BACKOFF_S * 2 ** (row.stalled_attempts - 1), LONGEST_BACKOFF_S)
    else:
        row.stalled_attempts = 0  # a job of weeks may see its machine fail more often than a bad one is tried
        wait_s = 0.0
    if row.stalled_attempts >= max_stalled and row.cancel_requested:
        told = f"its model could not be made, its last checkpoint is there: {why}"
        error = {"code": "attempts_exhausted", "message": told, "param": None}
        finish(row, Ending("cancelled", error if row.keep_model else None))
    elif row.cancel_requested or row.pause_requested:
        release(row)
    elif row.stalled_attempts >= max_stalled:
        message = f"{row.stalled_attempts} attempts ended without progress; the last one: {why}"
        finish(row, Ending("failed", {"code": "attempts_exhausted", "message": message, "param": None}))
    else:
        _requeue(row, wait_s)


def _requeue(row: JobRow, wait_s: float) -> None:
    row.status = "queued"
    row.worker_id = row.lease_until = row.nudged_at = None
    row.not_before = db_now() + wait_s


def running_of(session: Session, ending: str) -> list[JobRow]:
    """Running jobs whose worker's id ends so."""
    query = select(JobRow).where(JobRow.status == "running", JobRow.worker_id.endswith(ending, autoescape=True))
    return list(session.scalars(query))


def expired(session: Session) -> list[JobRow]:
    """Running jobs whose lease ran out, locked; those that another process has locked are left to it."""
    query = select(JobRow).where(JobRow.status == "running", JobRow.lease_until < db_now())
    return list(session.scalars(query.with_for_update(skip_locked=True)))


def due_for_nudge(session: Session, older_than_s: float) -> list[str]:
    """Ids of queued jobs that are due and of which no worker was told for `older_than_s`; from now on they were."""
    overdue = (
        update(JobRow)
        .where(
            JobRow.status == "queued",
            JobRow.not_before <= db_now(),
            or_(JobRow.nudged_at.is_(None), JobRow.nudged_at < db_now() - older_than_s),
        )
        .values(nudged_at=db_now())
        .returning(JobRow.id)
    )
    return list(session.scalars(overdue, execution_options={"synchronize_session": False}))
