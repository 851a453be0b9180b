"""What is still to be told to an address of a job's owner: an outbox, written together with the job's end.

A row is there until it is delivered or given up. Who delivers takes it for a while; where that one dies, another does.
"""

from __future__ import annotations

from sqlalchemy import Index, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class WebhookRow(Base):
    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_due_at", "due_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)  # the message's, the same at each attempt
    job_id: Mapped[str]  # which may be deleted meanwhile
    url: Mapped[str]
    secret: Mapped[str | None]
    body: Mapped[str]
    attempts: Mapped[int] = mapped_column(default=0)  # begun
    due_at: Mapped[float] = mapped_column(insert_default=db_now())


def is_due(session: Session) -> bool:
    """Whether a message is to be tried now. A look alone: a transaction that writes would keep others from writing."""
    return session.scalar(select(WebhookRow.id).where(WebhookRow.due_at <= db_now()).limit(1)) is not None


def take_due(session: Session, for_s: float) -> WebhookRow | None:
    """The message that is due the longest, for `for_s` seconds nobody else's; None without any."""
    due = (
        select(WebhookRow.id)
        .where(WebhookRow.due_at <= db_now())
        .order_by(WebhookRow.due_at, WebhookRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(WebhookRow)
        .where(WebhookRow.id == due.scalar_subquery(), WebhookRow.due_at <= db_now())
        .values(due_at=db_now() + for_s, attempts=WebhookRow.attempts + 1)
        .returning(WebhookRow)
    )
    return session.scalar(taken, execution_options={"populate_existing": True, "synchronize_session": False})


def hold(session: Session, message_id: str, attempts: int) -> WebhookRow | None:
    """The row, locked until the transaction ends, if this attempt is the last that was begun."""
    query = select(WebhookRow).where(WebhookRow.id == message_id, WebhookRow.attempts == attempts)
    return session.scalar(query.with_for_update(), execution_options={"populate_existing": True})


def put_off(row: WebhookRow, by_s: float) -> None:
    row.due_at = db_now() + by_s
