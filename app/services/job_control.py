"""What is asked of a job that is there: to end, to pause, to go on, to be tried again.

Each is one step of its row, under the row's lock. A running job is only asked; its trainer hears of it with the next
renewal of the lease, and where that one died, the sweep does what was asked.
"""

from __future__ import annotations

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.base import db_now
from app.db.tables import checkpoint, event
from app.db.tables import job as rows
from app.db.tables.job import Ending, JobRow
from app.errors import Conflict
from app.services import job_needs, jobs, quotas
from app.services.ownership import check_may_change
from app.services.progress import add_status
from app.services.runtime import Runtime
from app.services.storage import NAME


def cancel(session: Session, runtime: Runtime, job_id: str, *, keep_model: bool = False) -> JobRow:
    """End a queued or paused job now, a running one within seconds.

    Args:
        keep_model: its last checkpoint, if it has one, becomes its model first. A worker sees to that; a job that
            waits is queued for it.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it has ended already.
    """
    row = locked(session, job_id)
    if row.is_final:
        raise _wrong_state(row)
    row.keep_model = keep_model and bool(row.status == "running" or checkpoint.of_job(session, row.id))
    if row.status != "running" and not row.keep_model:
        rows.finish(row, Ending("cancelled"))
        add_status(session, row, "cancelled before it ran" if row.attempt == 0 else "cancelled")
    elif not row.cancel_requested:
        row.cancel_requested = True
        event.add(session, row.id, "message", "asked to stop", data={"keep_model": keep_model})
        if row.status != "running":
            rows.resume(row)
            _queue_again(session, runtime, row, "queued for a worker to make the model, and then to end")
    return _as_it_is(session, row)


def pause(session: Session, job_id: str) -> JobRow:
    """Lay a queued job aside now, a running one once it has saved a checkpoint after its present step.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it has ended, is being cancelled, or is paused.
    """
    row = locked(session, job_id)
    if row.status not in ("queued", "running") or row.cancel_requested:
        raise _wrong_state(row)
    if row.status == "queued":
        rows.pause(row)
        add_status(session, row, f"paused at step {row.step}" if row.step else "paused before it ran")
    elif not row.pause_requested:
        row.pause_requested = True
        event.add(session, row.id, "message", "asked to pause", data={})
    return _as_it_is(session, row)


def resume(session: Session, runtime: Runtime, job_id: str) -> JobRow:
    """Queue a paused job again, to go on from its last checkpoint; a pause that is only asked for is taken back.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it is not paused, nor about to be, or a model that it needs was replaced.
        DatasetNotFound, ModelNotFound, CheckpointNotFound: what it needs is gone.
    """
    row = locked(session, job_id)
    if row.status == "paused":
        job_needs.hold(session, row)
        quotas.check_jobs(session, runtime)
        rows.resume(row)
        _queue_again(session, runtime, row)
    elif row.pause_requested and not row.cancel_requested:
        row.pause_requested = False
        event.add(session, row.id, "message", "asked to go on after all", data={})
    else:
        raise _wrong_state(row)
    return _as_it_is(session, row)


def retry(session: Session, runtime: Runtime, job_id: str) -> JobRow:
    """Queue a failed or cancelled job again, from its last checkpoint if it has one; its attempts are counted anew.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it is in another state, is called as another model or unfinished job is by now, or a model that it
            needs was replaced.
        DatasetNotFound, ModelNotFound, CheckpointNotFound, TokenizerNotFound: what it needs is gone.
    """
    row = locked(session, job_id)
    if row.status not in ("failed", "cancelled"):
        raise _wrong_state(row)
    job_needs.hold(session, row)
    job_needs.hold_tokenizer(session, row.tokenizer)
    jobs.check_free(session, runtime, row.name)
    quotas.check_jobs(session, runtime)
    rows.retry(row)
    try:
        _queue_again(session, runtime, row)
        return _as_it_is(session, row)
    except IntegrityError as error:  # another job took the name meanwhile
        raise jobs.name_taken(row.name) from error


def prioritise(session: Session, job_id: str, priority: int) -> JobRow:
    """Let a job that waits go before others, or after.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it is neither queued nor paused.
    """
    row = locked(session, job_id)
    if row.status not in ("queued", "paused"):
        raise _wrong_state(row)
    if row.priority != priority:
        row.priority = priority
        event.add(session, row.id, "message", f"priority {priority}", data={"priority": priority})
    return _as_it_is(session, row)


def _queue_again(session: Session, runtime: Runtime, row: JobRow, told: str | None = None) -> None:
    row.nudged_at = db_now()
    again = f"queued again, to go on from step {row.step}" if row.step else "queued again"
    add_status(session, row, told or again)
    runtime.nudger.after_commit(session, row.id)


def locked(session: Session, job_id: str) -> JobRow:
    """A job that is to be changed, as it is until the transaction ends.

    Raises:
        JobNotFound: there is none of that id.
        MissingScope: it is nobody's.
    """
    row = rows.lock(session, job_id) if NAME.fullmatch(job_id) else None
    if row is None:
        return jobs.read(session, job_id)
    check_may_change(session, row.owner)
    return row


def _as_it_is(session: Session, row: JobRow) -> JobRow:
    """With the times that the database has set."""
    session.flush()
    session.refresh(row)
    return row


def _wrong_state(row: JobRow) -> Conflict:
    if row.status == "running":
        return Conflict(f"{row.id} is running" + (" and is being cancelled" if row.cancel_requested else ""))
    is_now = "has" if row.status in ("succeeded", "failed") else "is"
    return Conflict(f"{row.id} {is_now} {row.status} already" if is_now == "has" else f"{row.id} is {row.status}")
