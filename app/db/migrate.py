"""Brings a database to the newest schema, once, however many processes start together."""

from __future__ import annotations

import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from app.db.session import Database
from app.errors import AppError
from app.log import get_logger

log = get_logger(__name__)

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
WAIT_S = 60.0
_LOCK = 0x1B_4B_11_46  # any constant; names the advisory lock on PostgreSQL


class SchemaUnknown(AppError):
    """The database was written by a newer Inkling."""

    code = "schema_unknown"


def migrate_once_there(database: Database, wait_s: float = WAIT_S) -> None:
    """As `migrate`; a database server that is starting, too, is waited for.

    Raises:
        SchemaUnknown: as `migrate`.
        sqlalchemy.exc.OperationalError: it did not come within `wait_s` seconds.
    """
    deadline = time.monotonic() + (0 if database.is_sqlite else wait_s)
    while True:
        try:
            return migrate(database)
        except OperationalError as error:
            if time.monotonic() >= deadline:
                raise
            log.warning("database_away", error=str(error.orig))
            time.sleep(1)


def revisions(database: Database) -> tuple[str | None, list[str]]:
    """The revision that a database is at, None if it has no tables, and those that we know, the newest first."""
    with database.read() as session:
        current = MigrationContext.configure(session.connection()).get_current_revision()
    return current, _known(_config())


def migrate(database: Database) -> None:
    """Apply what is missing. SQLite's write lock or an advisory lock lets one process through at a time.

    Raises:
        SchemaUnknown: the database's revision is not among ours.
    """
    config = _config()
    with database.connect() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        current = MigrationContext.configure(connection).get_current_revision()
        if current is not None and current not in _known(config):
            raise SchemaUnknown(
                f"the database is at revision {current}, which this version does not know; upgrade Inkling"
            )
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def _known(config: Config) -> list[str]:
    return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
