"""What is nobody's is there for all to read: from when no keys were required, or shipped. An admin may change it."""

from __future__ import annotations

from app.db.owned import may_change
from app.db.session import Session
from app.errors import MissingScope


def check_may_change(session: Session, owner: str | None) -> None:
    """Refuse to change what is there for all, to whom has not the scope for it.

    Raises:
        MissingScope: the session's key is no admin's.
    """
    if not may_change(session, owner):
        raise MissingScope("this belongs to nobody and is there for all; changing it needs a key with the scope admin")
