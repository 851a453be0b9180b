"""Who runs a job: claiming one, asking whether it is still ours, taking it back from a holder that died.

Knows no process and no broker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import job
from app.db.tables.job import JobRow
from app.llm.errors import TrainingStopped
from app.services.devices import Devices
from app.services.hosts import Hosts, need_all
from app.services.progress import Progress, add_status

SHUTTING_DOWN = "the worker is shutting down"


@dataclass(frozen=True)
class Claim:
    """A job that is ours under `fence`, until its lease runs out."""

    job_id: str
    fence: int
    attempt: int
    lease_until: float  # by the database's clock, as long as nobody renews it
    devices: int = 1
    hosts: Hosts | None = None
    """The machines that train it together; None: this one does alone."""
    traceparent: str | None = None
    """Where its trace began; None: it has none yet."""


@dataclass(frozen=True)
class Loss:
    """How a holder ended without ending its job."""

    reason: str  # killed | crashed | stuck | silent
    why: str  # in words


@dataclass(frozen=True)
class TakenBack:
    """A job whose holder is gone, and its state since."""

    job_id: str
    status: str  # queued | paused | failed | cancelled
    reason: str


@dataclass(frozen=True)
class Beside:
    """Machines that help the one that claims a job with what is too large for its own devices."""

    hosts: Hosts
    own: Devices


def claim(
    database: Database, worker_id: str, lease_s: float, devices: Devices | None = None, beside: Beside | None = None
) -> Claim | None:
    """Take the best queued job that runs on these devices (None: on any), or None if nothing is due."""
    with database.write() as session:
        row = job.claim(session, worker_id, lease_s, devices)
        if row is None:
            return None
        hosts = beside.hosts if beside is not None and need_all(beside.own, row.device, row.devices) else None
        if hosts is not None:
            row.worker_id = worker_id = worker_id + hosts.mark  # by which the others find it
        again = f", attempt {row.attempt}" if row.attempt > 1 else ""
        add_status(session, row, f"running{again}", data={"attempt": row.attempt, "worker": worker_id})
        assert row.lease_until is not None, "a claim comes with a lease"
        return Claim(row.id, row.fence, row.attempt, row.lease_until, row.devices, hosts, row.traceparent)


def to_follow(database: Database, hosts: Hosts) -> Claim | None:
    """The running job that the first machine holds for all of them, and that this one has a part in."""
    with database.read() as session:
        for row in job.running_of(session, hosts.mark):
            if hosts.share(row.devices):
                return Claim(row.id, row.fence, row.attempt, row.lease_until or 0.0, row.devices, hosts)
    return None


def is_held(database: Database, held: Claim) -> bool:
    """Whether the job still runs under this claim."""
    with database.read() as session:
        row = job.get(session, held.job_id)
        return row is not None and row.status == "running" and row.fence == held.fence


def is_renewed(database: Database, held: Claim) -> bool:
    """Whether the job still runs under this claim, and its lease has not run out."""
    with database.read() as session:
        return job.is_leased(session, held.job_id, held.fence)


def prolong(database: Database, held: Claim, lease_s: float) -> Claim | None:
    """The claim with a new lease, for a trainer that starts; None once that renews it itself, or it is not ours."""
    with database.write() as session:
        until = job.prolong(session, held.job_id, held.fence, held.lease_until, lease_s)
    return None if until is None else replace(held, lease_until=until)


def give_up(database: Database, held: Claim, max_stalled: int, loss: Loss) -> TakenBack | None:
    """End the attempt of a holder that died; None if the job was not held under this claim any more."""
    with database.write() as session:
        row = job.hold(session, held.job_id, held.fence)
        return None if row is None else _take_back(session, row, max_stalled, loss)


def release(database: Database, held: Claim) -> bool:
    """Give the job back at no cost to it, for its worker is to end; False if it was not ours any more."""
    try:
        Progress(database, held.job_id, held.fence).release(SHUTTING_DOWN)
    except TrainingStopped:
        return False
    return True


def take_back_expired(database: Database, max_stalled: int) -> list[TakenBack]:
    """End the attempts of all holders whose lease ran out."""
    with database.write() as session:
        return [
            _take_back(session, row, max_stalled, Loss("silent", f"worker {row.worker_id} fell silent"))
            for row in job.expired(session)
        ]


def _take_back(session: Session, row: JobRow, max_stalled: int, loss: Loss) -> TakenBack:
    job.take_back(session, row, max_stalled, loss.why)
    words = "back in the queue" if row.status == "queued" else row.status
    add_status(session, row, f"{words}: {loss.why}", data={"reason": loss.reason, "error": row.error})
    return TakenBack(row.id, row.status, loss.reason)
