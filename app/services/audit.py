"""The audit log: who did what, and what came of it, as a row and as a line of the log. Never a prompt, never a key.

What is refused again and again, by one and for the same reason, is counted and told once a minute: whoever is refused
cannot fill the disk.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from app.db.session import Database, Session
from app.db.tables import audit as rows
from app.db.tables.audit import AuditRow
from app.log import get_logger

log = get_logger(__name__)

Outcome = Literal["done", "refused", "failed"]
TOLD_AGAIN_AFTER_S = 60.0
MOST_TOLD = 1000
"""Of those that are refused, whose refusals are counted apart; others are counted as one."""
TOO_MANY = 429
SHOWN = 200  # characters of what a client may have made up


@dataclass(frozen=True)
class Deed:
    """What was done, or tried."""

    action: str
    outcome: Outcome = "done"
    key_id: str | None = None
    address: str | None = None
    request_id: str | None = None
    resource: str | None = None
    status: int | None = None
    code: str | None = None
    request: str | None = None
    """Method and path, without what stands behind the path."""


class Refusals:
    """Which refusals are to be told, and for how many each stands. Safe to use from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._told: dict[tuple[Any, ...], tuple[float, int]] = {}  # when last, and how many since

    def times(self, deed: Deed) -> int:
        """For how many alike this one is to be told; 0: not now."""
        now = self._clock()
        # An address that has had its share is refused for that, whatever it was that it tried.
        action = None if deed.key_id is None and deed.status == TOO_MANY else deed.action
        alike: tuple[Any, ...] = (deed.key_id, deed.address, action, deed.status, deed.code)
        with self._lock:
            if len(self._told) >= MOST_TOLD and alike not in self._told:
                self._told = {key: held for key, held in self._told.items() if now < held[0] + TOLD_AGAIN_AFTER_S}
            if len(self._told) >= MOST_TOLD and alike not in self._told:
                alike = ("others",)
            at, since = self._told.get(alike, (-TOLD_AGAIN_AFTER_S, 0))
            if now < at + TOLD_AGAIN_AFTER_S:
                self._told[alike] = (at, since + 1)
                return 0
            self._told[alike] = (now, 0)
            return since + 1


def add(session: Session, deed: Deed, times: int = 1) -> None:
    """Write a deed down, in the transaction that does it or in one of its own."""
    told = {name: _plain(value) if isinstance(value, str) else value for name, value in asdict(deed).items()}
    log.info("audit", **{name: value for name, value in told.items() if value is not None}, times=times)
    rows.add(session, AuditRow(**told, times=times))


def write(database: Database, deed: Deed, times: int = 1) -> None:
    """As `add`, in a transaction of its own. Of what the database does not take, the line of the log is left."""
    try:
        with database.write() as session:
            add(session, deed, times)
    except SQLAlchemyError as error:  # what was done is done, and is answered
        log.error("audit_not_written", error=type(error).__name__, request_id=deed.request_id)


def page(
    session: Session, after: int | None, limit: int, since: float | None, wanted: dict[str, Any]
) -> tuple[list[tuple[AuditRow, str | None]], bool]:
    """Up to `limit` rows with the name of their key, newest first, those behind the one with id `after`; whether more
    follow."""
    found = rows.newest_first(session, after, limit + 1, since, wanted)
    return found[:limit], len(found) > limit


def forget_old(database: Database, days: int) -> None:
    """Remove what is older than it is to be kept."""
    with database.write() as session:
        rows.remove_older(session, days)


def _plain(text: str) -> str:
    """What a client may have made up, short and printable."""
    return "".join(one if one.isprintable() else "\N{REPLACEMENT CHARACTER}" for one in text[:SHOWN])
