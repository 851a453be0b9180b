"""The wire of what a job tells of itself: what it measured, what happened, what it saved."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out


class MetricOut(Out):
    """What was measured at a step; null where nothing was."""

    step: int
    created_at: float
    loss: float | None
    train_loss: float | None = Field(description="Of training batches in evaluation mode; with `order` book.")
    val_loss: float | None
    learning_rate: float | None
    grad_norm: float | None
    tokens: int | None
    tokens_per_s: float | None = Field(description="Reporting and loading among it; evaluation and saving not.")
    peak_share: float | None = Field(description="Of the device's measured peak of matrix products.")
    data_share: float | None = Field(description="Of the step's time: getting its batches.")
    report_share: float | None = Field(description="Of the step's time: telling, and asking whether to go on.")
    seconds_left: float | None = Field(description="Evaluation, samples and saving among it.")
    memory_bytes: int | None = Field(description="Of the trainer.")
    device_memory_bytes: int | None = Field(description="Of the trainer, on its GPU.")
    figures: dict[str, float] | None = Field(
        description="The recipe's own, by name. classify: `accuracy` on texts that are learnt from, `val_accuracy`."
    )


EventType = Literal["message", "metrics", "sample", "checkpoint", "status"]


class EventOut(Out):
    object: Literal["job.event"] = "job.event"
    id: int
    created_at: float
    level: Literal["info", "warn", "error"]
    type: EventType
    message: str
    data: dict[str, Any]


class CheckpointOut(Out):
    object: Literal["checkpoint"] = "checkpoint"
    id: str = Field(description="Names it wherever a model is named.")
    job: str
    step: int
    attempt: int
    size_bytes: int
    sha256: str
    metrics: dict[str, float | None]
    is_best: bool = Field(description="Of those that are kept, the one with the lowest validation loss.")
    created_at: int


class MetricQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(-1, ge=-1, le=2**31 - 1, description="The step that the page before ended with.")
    limit: int = Field(1000, ge=1, le=10_000)
    points: int | None = Field(
        None, ge=10, le=5000, description="In place of pages: at most so many steps, the highest and lowest among them."
    )


class EventQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int = Field(0, ge=0, le=2**31 - 1, description="The id that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)
    type: list[EventType] = Field(default_factory=list, description="Repeatable: any of these; omitted: all.")
