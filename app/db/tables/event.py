"""What happened in a job, in order: the row is the event, and followers poll by its id."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ForeignKey, Index, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class EventRow(Base):
    __tablename__ = "events"
    __table_args__ = (Index("ix_events_job_id", "job_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    level: Mapped[str]  # info | warn | error
    type: Mapped[str]  # message | metrics | sample | checkpoint | status
    message: Mapped[str]
    data: Mapped[dict[str, Any]]


def add(session: Session, job_id: str, type: str, message: str, *, level: str = "info", data: dict[str, Any]) -> None:
    """Append an event. The caller holds the job's lock, so that ids grow in the order in which they become visible.

    Characters that no database text can hold (NUL) are shown as U+FFFD.
    """
    session.add(EventRow(job_id=job_id, type=type, message=message.replace("\0", "\N{REPLACEMENT CHARACTER}"),
                         level=level, data=data))  # fmt: skip


def is_of_job(session: Session, job_id: str, event_id: int) -> bool:
    row = session.get(EventRow, event_id)
    return row is not None and row.job_id == job_id


def newest_of_job(session: Session, job_id: str, before_id: int | None, limit: int) -> list[EventRow]:
    """Rows with an id below `before_id` (None: any), newest first."""
    query = select(EventRow).where(EventRow.job_id == job_id)
    if before_id is not None:
        query = query.where(EventRow.id < before_id)
    return list(session.scalars(query.order_by(EventRow.id.desc()).limit(limit)))


def of_job(session: Session, job_id: str, after_id: int, limit: int, types: Sequence[str] = ()) -> list[EventRow]:
    """Rows with an id above `after_id`, of these types (none named: of all), oldest first."""
    query = select(EventRow).where(EventRow.job_id == job_id, EventRow.id > after_id)
    if types:
        query = query.where(EventRow.type.in_(types))
    return list(session.scalars(query.order_by(EventRow.id).limit(limit)))
