"""Connections and the two scopes, read and write. The only place of the project that commits."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any

from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app.db.owned import INFO, Owner
from app.log import get_logger

UNAVAILABLE = (OperationalError, InterfaceError, PoolTimeout)
"""What is raised where the database is away, locked for too long, or all its connections are taken."""

__all__ = ["UNAVAILABLE", "Database", "Session", "after_commit", "is_disk_full", "on_failure", "sqlite_journal_mode"]

log = get_logger(__name__)

# Who is stopped in the midst of a write (SIGSTOP, a host that froze) would hold its locks for ever.
_LET_GO_OF_LOCKS = text("SET LOCAL idle_in_transaction_session_timeout = '10s'")
# A server that vanished without a word is noticed within about half a minute, not after hours.
_KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}

# WAL loses data on these versions when two processes reset it at once (sqlite.org/wal.html, "WAL-reset bug").
_WAL_MENDED = ((3, 44, 6), (3, 50, 7))
_WAL_SAFE_FROM = (3, 51, 3)


class Database:
    """One engine and its two scopes.

    On SQLite a write scope opens with BEGIN IMMEDIATE: a transaction that reads first and writes later
    would fail at once when another process wrote in between, whatever the busy timeout.
    """

    def __init__(self, url: str) -> None:
        self._info: dict[str, Owner] = {}
        self.url = make_url(url)
        if self.is_sqlite:
            self.engine = create_engine(self.url, connect_args={"timeout": 15.0})
            event.listen(self.engine, "connect", _prepare_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)
        else:
            self.engine = create_engine(
                self.url,
                pool_pre_ping=True,
                pool_timeout=5,
                connect_args={"connect_timeout": 5, "options": "-c statement_timeout=15000", **_KEEPALIVE},
            )
        self._reader = self.engine.execution_options(inkling_write=False, postgresql_readonly=True)
        self._writer = self.engine.execution_options(inkling_write=True)

    @property
    def owner(self) -> Owner | None:
        """Whose sessions these are; None: they see all."""
        return self._info.get(INFO)

    def of(self, owner: Owner | None) -> Database:
        """The same database, whose sessions see what the owner sees, and make what is the owner's."""
        if owner is None:
            return self
        made = copy(self)
        made._info = {INFO: owner}
        return made

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that never writes; the database refuses if it tries. Rows read in it stay readable after it."""
        with Session(self._reader, expire_on_commit=False, autoflush=False, info=self._info) as session:
            yield session  # closing ends the transaction; a rollback here would empty the rows

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A transaction: committed at the end, rolled back on any error; then what `after_commit` asked for."""
        with Session(self._writer, expire_on_commit=False, info=self._info) as session:
            if self.is_sqlite:
                session.connection()  # takes the write lock before the first read
            else:
                session.execute(_LET_GO_OF_LOCKS)
            try:
                yield session
                session.commit()
            except BaseException:
                for action in session.info.pop("on_failure", ()):
                    action()
                raise
        for action in session.info.pop("after_commit", ()):
            action()

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection in a write transaction, for migrations."""
        with self._writer.begin() as connection:
            yield connection

    def dispose(self) -> None:
        self.engine.dispose()


def after_commit(session: Session, action: Callable[[], None]) -> None:
    """Do `action` once the session's transaction is committed; a rollback drops it."""
    session.info.setdefault("after_commit", []).append(action)


def on_failure(session: Session, action: Callable[[], None]) -> None:
    """Do `action` if the session's transaction is not committed, whatever keeps it from that."""
    session.info.setdefault("on_failure", []).append(action)


def is_disk_full(error: BaseException) -> bool:
    """Whether the database could not write because its disk is full."""
    if not isinstance(error, DBAPIError):
        return False
    said = (getattr(error.orig, "sqlite_errorcode", None), getattr(error.orig, "sqlstate", None))
    return said[0] == sqlite3.SQLITE_FULL or said[1] == "53100"


def sqlite_journal_mode(version: tuple[int, int, int] = sqlite3.sqlite_version_info[:3]) -> str:
    """`WAL` where this SQLite is not one of the corrupting versions, else `DELETE`."""
    mended = any(version[:2] == fixed[:2] and version >= fixed for fixed in _WAL_MENDED)
    return "WAL" if version >= _WAL_SAFE_FROM or mended else "DELETE"


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred and comes too late
    mode = sqlite_journal_mode()
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout = 15000")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute(f"PRAGMA journal_mode = {mode}")
    cursor.execute(f"PRAGMA synchronous = {'NORMAL' if mode == 'WAL' else 'FULL'}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    if connection.get_execution_options().get("inkling_write", True):
        connection.exec_driver_sql("PRAGMA query_only = OFF")
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("PRAGMA query_only = ON")
        connection.exec_driver_sql("BEGIN")
