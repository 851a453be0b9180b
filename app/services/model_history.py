"""What was done with a model, as far as is remembered: the run that made it, and the jobs that use it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import checkpoint as checkpoint_table
from app.db.tables import job as job_table
from app.db.tables import job_list, metric
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow
from app.db.tables.job_list import Wanted
from app.services import job_needs
from app.services.model_info import ModelInfo

MAX_JOBS = 30


@dataclass(frozen=True)
class Made:
    """The job that made a model, what it measured last on the way there, and its checkpoints, newest first."""

    job: JobRow
    step: int
    loss: float | None
    val_loss: float | None
    checkpoints: list[CheckpointRow]


def made(session: Session, model: ModelInfo) -> Made | None:
    """The run behind a model or checkpoint; None where none made it, or it was deleted."""
    job = None if model.job is None else job_table.get(session, model.job)
    if job is None:
        return None
    last = int(model.name.rpartition("@")[2]) if model.source == "checkpoint" else job.step
    found = [one for one in metric.losses(session, job.id, -1) if one.step <= last]
    loss = next((one.loss for one in reversed(found) if one.loss is not None), None)
    val_loss = next((one.val_loss for one in reversed(found) if one.val_loss is not None), None)
    return Made(job, last, loss, val_loss, checkpoint_table.of_job(session, job.id))


def used_by(session: Session, name: str) -> tuple[list[JobRow], bool]:
    """Jobs that go on from a model, measure it or have it judge, newest first; whether there are older ones."""
    wanted = Wanted(only=lambda row: name in job_needs.models_of(row))
    found = job_list.newest_first(session, None, MAX_JOBS + 1, wanted)
    return found[:MAX_JOBS], len(found) > MAX_JOBS
