"""A worker that tells now and then that it lives, and what it can train on: the row and its queries."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class WorkerRow(Base):
    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(primary_key=True)
    host: Mapped[str]
    devices: Mapped[dict[str, Any]]  # how many of each kind: {"cpu": 1, "cuda": 2}
    seen_at: Mapped[float] = mapped_column(insert_default=db_now())


def see(session: Session, worker_id: str, host: str, devices: dict[str, int]) -> None:
    """Write down that the worker lives now."""
    row = session.get(WorkerRow, worker_id)
    if row is None:
        session.add(WorkerRow(id=worker_id, host=host, devices=devices))
    else:
        row.devices, row.seen_at = devices, db_now()


def live(session: Session, within_s: float) -> list[WorkerRow]:
    """Those seen in the last `within_s` seconds."""
    return list(session.scalars(select(WorkerRow).where(WorkerRow.seen_at > db_now() - within_s)))


def remove(session: Session, worker_id: str) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.id == worker_id))


def remove_ending(session: Session, ending: str) -> None:
    """Forget those whose id ends so; one that lives tells of itself again within seconds."""
    session.execute(delete(WorkerRow).where(WorkerRow.id.endswith(ending, autoescape=True)))


def remove_silent(session: Session, longer_than_s: float) -> None:
    """Forget those that have not been seen for so long."""
    session.execute(delete(WorkerRow).where(WorkerRow.seen_at < db_now() - longer_than_s))
