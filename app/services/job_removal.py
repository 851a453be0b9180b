"""A job deleted, with its checkpoints, events and metrics; or one checkpoint of it. The model that it made stays."""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.session import after_commit, on_failure
from app.db.tables import checkpoint, event
from app.db.tables import job as rows
from app.errors import CheckpointNotFound, Conflict
from app.services import job_control, job_needs
from app.services.runtime import Runtime


def delete(session: Session, runtime: Runtime, job_id: str) -> None:
    """Remove a job that is not running, with all that is its own.

    Raises:
        JobNotFound: there is none of that id.
        Conflict: it is running, another job goes on from one of its checkpoints, or one of these is at work.
    """
    row = job_control.locked(session, job_id)
    if row.status == "running":
        raise Conflict(f"{row.id} is running; cancel it first")
    other = job_needs.who_goes_on_from(session, row.id)
    if other is not None:
        raise Conflict(f"{row.id} has a checkpoint that job {other.id}, which is {other.status}, goes on from")
    saved = [each.id for each in checkpoint.of_job(session, row.id)]
    for name in saved:
        runtime.models.unload(name)
    session.delete(row)
    session.flush()
    folder, aside = runtime.storage.job(row.id), runtime.storage.scratch / new_id("deleted")
    if folder.exists():  # out of its place while the row is held; gone once that is committed
        folder.rename(aside)
        on_failure(session, lambda: _move(aside, folder))
        after_commit(session, lambda: shutil.rmtree(aside, ignore_errors=True))
    after_commit(session, lambda: _forget(runtime, saved))  # somebody may have asked for one meanwhile


def delete_checkpoint(session: Session, runtime: Runtime, job_id: str, step: int) -> str:
    """Remove one checkpoint of a job: its id. What is still written or needed stays.

    Raises:
        JobNotFound, CheckpointNotFound: there is none.
        Conflict: it is the last one of a job that has not ended, another job goes on from it, or it is at work.
    """
    row = job_control.locked(session, job_id)
    saved = checkpoint.of_job(session, row.id)
    found = next((each for each in saved if each.step == step), None)
    if found is None:
        raise CheckpointNotFound(
            f"{row.id} has no checkpoint of step {step}; GET /jobs/{row.id}/checkpoints lists them"
        )
    if found is saved[0] and not row.is_final:
        raise Conflict(f"{row.id}, which is {row.status}, goes on from its last checkpoint; earlier ones can go")
    for other in rows.live(session):
        if found.id in job_needs.models_of(other):
            raise Conflict(f"job {other.id}, which is {other.status}, goes on from {found.id}")
    runtime.models.unload(found.id)
    checkpoint.remove(session, found.id)
    if row.result_checkpoint == found.id:
        row.result_checkpoint = None
    event.add(session, row.id, "message", f"the checkpoint of step {step} was deleted", data={"step": step})
    folder = runtime.storage.checkpoint(row.id, found.path)
    after_commit(session, lambda: shutil.rmtree(folder, ignore_errors=True))
    after_commit(session, lambda: _forget(runtime, [found.id]))
    return found.id


def _move(source: Path, place: Path) -> None:
    source.rename(place)


def _forget(runtime: Runtime, checkpoints: list[str]) -> None:
    for name in checkpoints:
        runtime.models.forget(name)
