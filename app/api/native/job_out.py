"""Rows of a job as the wire shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.db.session import Session
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.schemas.job import JobError, JobOut, JobResult, WebhookOut
from app.schemas.job_history import CheckpointOut, EventOut
from app.services import jobs
from app.services.job_copies import validation_of


def job_out(session: Session, row: JobRow, waiting_for: str | None = None) -> JobOut:
    return jobs_out(session, [row], {} if waiting_for is None else {row.id: waiting_for})[0]


def jobs_out(session: Session, rows: Sequence[JobRow], waiting_for: Mapping[str, str]) -> list[JobOut]:
    """Each with what it keeps; `waiting_for`, by their ids, of those that wait for a worker."""
    sizes = jobs.kept_bytes(session, rows)
    return [_job_out(row, sizes[row.id], waiting_for.get(row.id)) for row in rows]


def _job_out(row: JobRow, size_bytes: int, waiting_for: str | None) -> JobOut:
    only = row.datasets[0]
    is_one = len(row.datasets) == 1 and only["weight"] == 1.0 and "column" not in only
    return JobOut(
        id=row.id,
        recipe=row.recipe,
        name=row.name,
        status=row.status,
        step=row.step,
        total_steps=row.total_steps,
        progress=row.step / row.total_steps if row.total_steps else None,
        dataset=only["dataset"] if is_one else row.datasets,
        model=row.model.get("name") or row.model,
        tokenizer=row.tokenizer,
        validation=validation_of(row),
        test=row.validation.get("test"),
        columns=row.columns,
        train=row.train,
        evaluate=row.evaluate,
        device=row.device,
        devices=row.devices,
        priority=row.priority,
        seed=row.seed,
        attempt=row.attempt,
        size_bytes=size_bytes,
        cancel_requested=row.cancel_requested,
        pause_requested=row.pause_requested,
        waiting_for=waiting_for,
        created_at=int(row.created_at),
        started_at=None if row.started_at is None else int(row.started_at),
        finished_at=None if row.finished_at is None else int(row.finished_at),
        webhook=None if row.webhook_url is None else WebhookOut(url=row.webhook_url),
        error=None if row.error is None else JobError(**row.error),
        result=None
        if row.result_model is None and not (row.evaluate and row.status == "succeeded")
        else JobResult(model=row.result_model, checkpoint=row.result_checkpoint),
    )


def event_out(row: EventRow) -> EventOut:
    return EventOut.model_validate(row)


def checkpoint_out(row: CheckpointRow, is_best: bool) -> CheckpointOut:
    return CheckpointOut(
        id=row.id,
        job=row.job_id,
        step=row.step,
        attempt=row.attempt,
        size_bytes=row.size_bytes,
        sha256=row.sha256,
        metrics=row.metrics,
        is_best=is_best,
        created_at=int(row.created_at),
    )
