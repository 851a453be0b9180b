"""Who reads a job's texts before it is queued: taken, held and given back under a lease, as a run is. Free of torch."""

from __future__ import annotations

from app.db.session import Database
from app.db.tables import job_validation as rows
from app.services.leases import Claim, TakenBack
from app.services.progress import add_status


def claim(database: Database, worker_id: str, lease_s: float) -> Claim | None:
    """Take a job whose texts are to be read, or None."""
    with database.read() as session:
        if not rows.is_waiting(session):
            return None
    with database.write() as session:
        row = rows.claim(session, worker_id, lease_s)
        if row is None:
            return None
        assert row.lease_until is not None, "a claim comes with a lease"
        return Claim(row.id, row.fence, row.attempt, row.lease_until, traceparent=row.traceparent)


def renew(database: Database, held: Claim, lease_s: float) -> bool:
    """Whether it is still ours, and is so for `lease_s` seconds more."""
    with database.write() as session:
        return rows.renew(session, held.job_id, held.fence, lease_s)


def release(database: Database, held: Claim) -> None:
    """Leave it to another reader, if it is still ours."""
    with database.write() as session:
        row = rows.hold(session, held.job_id, held.fence)
        if row is not None:
            rows.let_go(row)


def take_back_expired(database: Database, max_stalled: int) -> list[TakenBack]:
    """Take jobs from readers that fell silent; another one reads them, unless too many died over it."""
    taken = []
    with database.write() as session:
        for row in rows.expired(session):
            rows.take_back(row, max_stalled)
            why = "who read its texts fell silent"
            add_status(session, row, f"{row.status}: {why}", data={"reason": "silent", "error": row.error})
            taken.append(TakenBack(row.id, row.status, "silent"))
    return taken
