"""A key that may call the service: what it is called by, the hash of its secret, what for. The row and its queries."""

from __future__ import annotations

from sqlalchemy import or_, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class ApiKeyRow(Base):
    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    prefix: Mapped[str] = mapped_column(unique=True)  # how the key begins, to be shown and found by
    sha256: Mapped[str]  # of the whole key, in hexadecimal digits
    name: Mapped[str]
    scopes: Mapped[list[str]]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    last_used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


def get(session: Session, key_id: str) -> ApiKeyRow | None:
    return session.get(ApiKeyRow, key_id)


def by_prefix(session: Session, prefix: str) -> ApiKeyRow | None:
    return session.scalar(select(ApiKeyRow).where(ApiKeyRow.prefix == prefix))


def live(session: Session, told: str) -> list[ApiKeyRow]:
    """Those not revoked that have this id, prefix or name."""
    is_told = or_(ApiKeyRow.id == told, ApiKeyRow.prefix == told, ApiKeyRow.name == told)
    return list(session.scalars(select(ApiKeyRow).where(is_told, ApiKeyRow.revoked_at.is_(None))))


def all_of_them(session: Session) -> list[ApiKeyRow]:
    """The revoked ones, too, in the order they were made."""
    return list(session.scalars(select(ApiKeyRow).order_by(ApiKeyRow.id)))


def are_there_any(session: Session) -> bool:
    return session.scalar(select(ApiKeyRow.id).limit(1)) is not None


def keep_others_out(session: Session) -> None:
    """Nobody else makes a key until the transaction ends. SQLite's write scope sees to that by itself."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE"))


def touch(session: Session, key_id: str) -> None:
    """It was used now."""
    session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(last_used_at=db_now()))


def revoke(session: Session, key_id: str) -> None:
    session.execute(update(ApiKeyRow).where(ApiKeyRow.id == key_id).values(revoked_at=db_now()))
