"""A session of pages that was signed out of before its time: the row and its queries."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class EndedSessionRow(Base):
    __tablename__ = "ended_sessions"

    id: Mapped[str] = mapped_column(primary_key=True)  # a hash of what the browser has
    until: Mapped[float]  # when it would have ended by itself


def is_there(session: Session, session_id: str) -> bool:
    return session.get(EndedSessionRow, session_id) is not None


def add(session: Session, session_id: str, lasts_s: float) -> None:
    """Note that it ended; of one that is noted already, nothing changes."""
    if not is_there(session, session_id):
        session.add(EndedSessionRow(id=session_id, until=db_now() + lasts_s))


def remove_over(session: Session) -> None:
    """Those that have ended by themselves meanwhile."""
    session.execute(delete(EndedSessionRow).where(EndedSessionRow.until < db_now()))
