"""A job's saved state at a step: the row and its queries. Only complete ones have a row."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, UniqueConstraint, delete, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class CheckpointRow(Base):
    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)  # job_id@step
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    step: Mapped[int]
    attempt: Mapped[int]
    fence: Mapped[int]
    path: Mapped[str]  # the directory's name within the job's folder
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]  # of its manifest, which holds every file's own
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())


def get(session: Session, job_id: str, step: int) -> CheckpointRow | None:
    """Whosever its job is; `job_list.checkpoint_named` is for what a request names."""
    return session.get(CheckpointRow, f"{job_id}@{step}")


def of_job(session: Session, job_id: str) -> list[CheckpointRow]:
    """Newest first."""
    query = select(CheckpointRow).where(CheckpointRow.job_id == job_id)
    return list(session.scalars(query.order_by(CheckpointRow.step.desc())))


def bytes_by_job(session: Session, job_ids: Iterable[str]) -> dict[str, int]:
    """Bytes of the checkpoints of each of these jobs that has any."""
    query = select(CheckpointRow.job_id, func.sum(CheckpointRow.size_bytes)).group_by(CheckpointRow.job_id)
    found = session.execute(query.where(CheckpointRow.job_id.in_(list(job_ids)))).all()
    return {job_id: int(size) for job_id, size in found}


def remove(session: Session, checkpoint_id: str) -> None:
    """Take one off the list; its folder is the caller's business, after the commit."""
    session.execute(delete(CheckpointRow).where(CheckpointRow.id == checkpoint_id))
