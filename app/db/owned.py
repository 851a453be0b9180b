"""Rows that belong to a key: which of them a session sees, and whose those are that it makes.

A session without an owner, of a worker or where no keys are required, sees all, and what it makes is nobody's.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, or_, true
from sqlalchemy.orm import InstrumentedAttribute, Session

INFO = "owner"
"""Where a session's `info` has it."""


@dataclass(frozen=True)
class Owner:
    """The key whose session it is."""

    key_id: str
    sees_all: bool


def owner_of(session: Session) -> Owner | None:
    found = session.info.get(INFO)
    assert found is None or isinstance(found, Owner)
    return found


def seen_by(owner: Owner | None) -> str | None:
    """The key whose things, beside nobody's, are all that is seen; None: everything is."""
    return None if owner is None or owner.sees_all else owner.key_id


def visible(session: Session, owner: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    """Those of the session's key and those of nobody; all, where it sees all."""
    ours = seen_by(owner_of(session))
    return true() if ours is None else or_(owner.is_(None), owner == ours)


def is_own(session: Session, owner: InstrumentedAttribute[str | None]) -> ColumnElement[bool]:
    """Those that the session's key has made; without one, those of nobody."""
    return owner.is_not_distinct_from(owner_of_new(session))


def owner_of_new(session: Session) -> str | None:
    ours = owner_of(session)
    return None if ours is None else ours.key_id


def may_change(session: Session, owner: str | None) -> bool:
    """What is seen may be changed, but for what is nobody's: it is there for all."""
    ours = owner_of(session)
    return ours is None or ours.sees_all or owner == ours.key_id
