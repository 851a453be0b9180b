"""Which sessions were signed out of: whoever has copied their cookie comes in with it no more."""

from __future__ import annotations

import time

from sqlalchemy.exc import IntegrityError

from app.db.session import Database
from app.db.tables import ended_session as rows
from app.services.keys import REMEMBERED, REMEMBERED_S
from app.services.sessions import LIFETIME_S


class EndedSessions:
    """What it was told lately it believes as long as keys are believed: so long another server may let one in."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._going_on: dict[str, float] = {}  # until when that is believed, by a session's id

    def is_known_to_go_on(self, session_id: str) -> bool:
        """Whether it was found to go on a moment ago. Waits for nothing."""
        return time.monotonic() < self._going_on.get(session_id, 0.0)

    def goes_on(self, session_id: str) -> bool:
        """Whether nobody signed out of it, by the database."""
        until = time.monotonic() + REMEMBERED_S
        with self._database.read() as session:
            if rows.is_there(session, session_id):
                return False
        if len(self._going_on) >= REMEMBERED:
            self._going_on.clear()
        self._going_on[session_id] = until
        return True

    def end(self, session_id: str) -> None:
        """Sign out of it, for good."""
        try:
            with self._database.write() as session:
                rows.remove_over(session)
                rows.add(session, session_id, LIFETIME_S)
        except IntegrityError:
            pass  # the same, sent twice at once
        self._going_on.pop(session_id, None)
