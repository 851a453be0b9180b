"""How much of the service a key may hold at a time: unfinished jobs, and bytes on the disk. Told from the database.

Where no keys are required, what is held is nobody's, and all have one share together. Two requests at the same moment
may both see the last place free.
"""

from __future__ import annotations

from app.db.session import Session
from app.db.tables import stock
from app.errors import QuotaExceeded
from app.services.limits import allowed
from app.services.runtime import Runtime

RETRY_AFTER_S = 60


def check_jobs(session: Session, runtime: Runtime) -> None:
    """See whether one more job may run or wait.

    Raises:
        QuotaExceeded: as many do as may.
    """
    most = allowed(runtime.settings, "jobs")
    if most and stock.own_unfinished_jobs(session) >= most:
        runtime.limits.metrics.over_limit.labels("jobs").inc()
        message = f"{most} jobs run or wait already, as many as one key may have; wait for one, or cancel or pause one"
        raise QuotaExceeded(message, retry_after_s=RETRY_AFTER_S)


def check_stored(session: Session, runtime: Runtime) -> None:
    """See whether what is kept, with what the session has added, is not too much.

    Raises:
        QuotaExceeded: it is.
    """
    most = allowed(runtime.settings, "stored_bytes")
    if not most:
        return
    kept = stock.own_bytes(session)
    if kept > most:
        runtime.limits.metrics.over_limit.labels("stored_bytes").inc()
        message = (
            f"{kept:,} bytes of datasets, models and checkpoints are more than the {most:,} that one key may keep; "
            "delete some"
        )
        raise QuotaExceeded(message, retry_after_s=RETRY_AFTER_S)
