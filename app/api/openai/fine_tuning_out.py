"""Rows of a job as OpenAI's clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from app.db.session import Session
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.db.tables.metric import MetricRow
from app.errors import InvalidRequest
from app.schemas.openai_fine_tuning import (
    CheckpointMetricsOut,
    FineTuningCheckpointOut,
    FineTuningEventOut,
    FineTuningJobOut,
    HyperparametersOut,
    JobErrorOut,
)
from app.services import fine_tuning, jobs

OWNER = "inkling"
EVENT = "ftevent-"
LOSSES = {"loss": "train_loss", "val_loss": "valid_loss"}
"""OpenAI's names of what a job measures; `train_loss` of ours, which few jobs have, is another thing."""


def job_out(session: Session, row: JobRow) -> FineTuningJobOut:
    return jobs_out(session, [row])[0]


def jobs_out(session: Session, rows: Sequence[JobRow]) -> list[FineTuningJobOut]:
    last = jobs.last_metrics(session, rows)
    return [_job_out(row, last.get(row.id)) for row in rows]


def _job_out(row: JobRow, last: MetricRow | None) -> FineTuningJobOut:
    method = fine_tuning.BY_RECIPE[row.recipe]
    hyperparameters = fine_tuning.hyperparameters(row)
    return FineTuningJobOut(
        id=row.id,
        created_at=int(row.created_at),
        finished_at=None if row.finished_at is None else int(row.finished_at),
        estimated_finish=_estimated(last) if row.status == "running" else None,
        model=row.model.get("name") or row.model.get("preset") or "a new network",
        fine_tuned_model=row.result_model,
        organization_id=OWNER,
        status=row.status,
        hyperparameters=HyperparametersOut.model_validate(hyperparameters),
        method={"type": method.name, method.name: {"hyperparameters": hyperparameters}},
        training_file=row.datasets[0]["dataset"],
        validation_file=row.validation.get("dataset"),
        result_files=[],
        trained_tokens=last.tokens if row.is_final and last is not None else None,
        error=_error(row, method.hyperparameters),
        seed=row.seed,
        metadata=row.client_metadata,
    )


def _estimated(last: MetricRow | None) -> int | None:
    return None if last is None or last.seconds_left is None else int(last.created_at + last.seconds_left)


def _error(row: JobRow, hyperparameters: str) -> JobErrorOut | None:
    if row.error is None:
        return None
    message, param = fine_tuning.in_openais_words(row.error["message"], row.error["param"], hyperparameters)
    return JobErrorOut(code=row.error["code"], message=message, param=param)


def event_out(row: EventRow) -> FineTuningEventOut:
    kind: Literal["message", "metrics"] = "metrics" if row.type == "metrics" else "message"
    return FineTuningEventOut(
        id=f"{EVENT}{row.id}",
        created_at=int(row.created_at),
        level=row.level,
        message=row.message,
        type=kind,
        data={LOSSES.get(name, name): value for name, value in row.data.items() if name not in LOSSES.values()},
    )


def event_id(text: str) -> int:
    """The number in an event's id.

    Raises:
        InvalidRequest: it is no such id.
    """
    number = text.removeprefix(EVENT)
    if not (text.startswith(EVENT) and number.isascii() and number.isdigit() and len(number) < 19):
        raise InvalidRequest(f"after: {text[:50]!r} is no event's id", param="after")
    return int(number)


def checkpoint_out(row: CheckpointRow) -> FineTuningCheckpointOut:
    metrics = {LOSSES[name]: value for name, value in row.metrics.items() if name in LOSSES}
    return FineTuningCheckpointOut(
        id=row.id,
        created_at=int(row.created_at),
        fine_tuned_model_checkpoint=row.id,
        step_number=row.step,
        fine_tuning_job_id=row.job_id,
        metrics=CheckpointMetricsOut(step=row.step, **{"train_loss": None, "valid_loss": None} | metrics),
    )
