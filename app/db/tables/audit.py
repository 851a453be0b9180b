"""Who did what: the row and its queries. Rows are added and, once they are old, removed; none is ever changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Index, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now
from app.db.tables.api_key import ApiKeyRow


class AuditRow(Base):
    __tablename__ = "audit"
    __table_args__ = (Index("ix_audit_created_at", "created_at"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    key_id: Mapped[str | None]  # None: no key was asked for, or none was good
    address: Mapped[str | None]  # None: from this machine's shell
    request_id: Mapped[str | None]
    action: Mapped[str]
    resource: Mapped[str | None]  # an id or a name
    outcome: Mapped[str]  # done | refused | failed
    status: Mapped[int | None]
    code: Mapped[str | None]  # of the error
    request: Mapped[str | None]  # method and path
    times: Mapped[int]  # so many alike since the one before


def add(session: Session, row: AuditRow) -> None:
    session.add(row)


def newest_first(
    session: Session, before_id: int | None, limit: int, since: float | None, wanted: Mapping[str, Any]
) -> list[tuple[AuditRow, str | None]]:
    """Rows with an id below `before_id`, of these values by column, each with its key's name."""
    query = select(AuditRow, ApiKeyRow.name).outerjoin(ApiKeyRow, ApiKeyRow.id == AuditRow.key_id)
    query = query.filter_by(**wanted).order_by(AuditRow.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(AuditRow.id < before_id)
    if since is not None:
        query = query.where(AuditRow.created_at >= since)
    return [(row, name) for row, name in session.execute(query)]


def remove_older(session: Session, days: int) -> None:
    """Those of more than so many days ago."""
    session.execute(delete(AuditRow).where(AuditRow.created_at < db_now() - days * 86_400))
