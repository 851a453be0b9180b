"""What a job measured at a step: the row and its queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, delete, func, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now

FIELDS = (
    "step", "created_at", "loss", "train_loss", "val_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s",
    "peak_share", "data_share", "report_share", "seconds_left", "memory_bytes", "device_memory_bytes", "figures",
)  # fmt: skip
"""What a row tells, in the order in which it is shown and exported."""


class MetricRow(Base):
    __tablename__ = "metrics"
    __table_args__ = (Index("ix_metrics_job_step", "job_id", "step"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    step: Mapped[int]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    loss: Mapped[float | None]
    train_loss: Mapped[float | None]  # in evaluation mode
    val_loss: Mapped[float | None]
    learning_rate: Mapped[float | None]
    grad_norm: Mapped[float | None]
    tokens: Mapped[int | None] = mapped_column(BigInteger)
    tokens_per_s: Mapped[float | None]
    peak_share: Mapped[float | None]  # of the device's measured peak of matrix products
    data_share: Mapped[float | None]  # of the step's time
    report_share: Mapped[float | None]
    seconds_left: Mapped[float | None]
    memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    device_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    figures: Mapped[dict[str, Any] | None]  # the recipe's own, by name: accuracy, margins


def store(session: Session, job_id: str, rows: list[MetricRow]) -> None:
    """Add rows; a step measured again by a later attempt takes the place of the first."""
    session.execute(delete(MetricRow).where(MetricRow.job_id == job_id, MetricRow.step.in_([row.step for row in rows])))
    session.add_all(rows)


def of_job(session: Session, job_id: str, after_step: int, limit: int) -> list[MetricRow]:
    """Rows of steps above `after_step`, in the order of steps."""
    query = select(MetricRow).where(MetricRow.job_id == job_id, MetricRow.step > after_step)
    return list(session.scalars(query.order_by(MetricRow.step).limit(limit)))


def last_of_jobs(session: Session, job_ids: Sequence[str]) -> dict[str, MetricRow]:
    """By the id of each of these jobs that has measured a step, the row of its last one."""
    last = select(MetricRow.job_id, func.max(MetricRow.step)).where(MetricRow.job_id.in_(job_ids))
    query = select(MetricRow).where(tuple_(MetricRow.job_id, MetricRow.step).in_(last.group_by(MetricRow.job_id)))
    return {row.job_id: row for row in session.scalars(query)}


@dataclass(frozen=True)
class Losses:
    """A row in short."""

    step: int
    loss: float | None
    val_loss: float | None


def losses(session: Session, job_id: str, after_step: int) -> list[Losses]:
    """Of all steps above `after_step`, in their order."""
    query = select(MetricRow.step, MetricRow.loss, MetricRow.val_loss)
    query = query.where(MetricRow.job_id == job_id, MetricRow.step > after_step).order_by(MetricRow.step)
    return [Losses(*row) for row in session.execute(query)]


def of_steps(session: Session, job_id: str, steps: list[int]) -> list[MetricRow]:
    """Rows of these steps, in the order of steps."""
    query = select(MetricRow).where(MetricRow.job_id == job_id, MetricRow.step.in_(steps))
    return list(session.scalars(query.order_by(MetricRow.step)))
