"""Everything that a service holds, copied aside while it runs, and put back where there is nothing.

The database comes first, as it was at one moment, and the files after it: files are written once and named by rows, so
that each row of that moment finds its own unless it was deleted meanwhile. Files without a row do no harm. Jobs that
ran go on from their last checkpoint once their lease is over. What can be made again (token files) is left out.
"""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from sqlalchemy import URL, inspect, make_url

from app.config import Settings
from app.db import migrate
from app.db.session import Database
from app.errors import Conflict, DataMissing, NotReady, PackageMissing
from app.services.storage import Storage

ABOUT = "backup.json"
FILES = "files"


@dataclass(frozen=True)
class Backup:
    """What a backup says of itself."""

    database: str  # sqlite | postgresql
    revision: str | None  # of the schema
    made_at: float  # Unix seconds
    files: int
    size_bytes: int  # database and files


def back_up(settings: Settings, to: Path) -> Backup:
    """Make the folder `to`; it is there once it is whole.

    Raises:
        Conflict: there is something already.
        NotReady, PackageMissing: PostgreSQL's program failed, or is not on this machine.
        OSError: the disk is full, or may not be written.
    """
    if to.exists():
        raise Conflict(f"{to} is there already; name a folder that is not")
    part = to.with_name(f"{to.name}.part")
    part.mkdir(mode=0o700, parents=True)
    try:
        database = Database(settings.effective_database_url)
        try:
            revision, _ = migrate.revisions(database)
        finally:
            database.dispose()
        _dump(database.url, part / _name(database.url))
        for folder in _storage(settings).kept:
            _copy(folder, part / FILES / folder.name)
        found = [path for path in part.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in found)
        about = Backup(database.url.get_backend_name(), revision, time.time(), len(found) - 1, size)
        (part / ABOUT).write_text(json.dumps(asdict(about), indent=2) + "\n")
        part.rename(to)
    except BaseException:
        shutil.rmtree(part)
        raise
    return about


def restore(settings: Settings, source: Path) -> Backup:
    """Put a backup into an empty database and a data directory without files.

    Raises:
        DataMissing: there is no backup there.
        Conflict: something is kept here already, or the backup is of another kind of database.
        NotReady, PackageMissing: as `back_up`.
    """
    try:
        about = Backup(**json.loads((source / ABOUT).read_text()))
    except FileNotFoundError:
        raise DataMissing(f"{source} holds no backup: {ABOUT} is not there") from None
    url = make_url(settings.effective_database_url)
    if url.get_backend_name() != about.database:
        told = f"the backup is of {about.database}, INKLING_DATABASE_URL names {url.get_backend_name()}"
        raise Conflict(told)
    _refuse_what_is_there(settings, url)
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    folders = _storage(settings).kept
    try:
        for folder in folders:
            shutil.copytree(source / FILES / folder.name, folder, dirs_exist_ok=True)
        _load(url, source / _name(url))
    except BaseException:  # so that it can be tried again
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    return about


def _refuse_what_is_there(settings: Settings, url: URL) -> None:
    for folder in _storage(settings).kept:
        if folder.exists() and any(folder.iterdir()):
            raise Conflict(f"{folder} is not empty; a backup is put back where there is nothing")
    if url.get_backend_name() == "sqlite" and url.database and not Path(url.database).exists():
        return
    database = Database(settings.effective_database_url)
    try:
        if inspect(database.engine).get_table_names():
            raise Conflict("the database has tables; a backup is put back into an empty one")
    finally:
        database.dispose()


def _storage(settings: Settings) -> Storage:
    return Storage(settings.data_dir, settings.assets_dir)


def _name(url: URL) -> str:
    return "inkling.db" if url.get_backend_name() == "sqlite" else "inkling.dump"


def _copy(source: Path, to: Path) -> None:
    """A folder as it is now; what is deleted meanwhile is left out."""
    to.mkdir(mode=0o700, parents=True)
    if not source.exists():
        return
    for path in sorted(source.rglob("*")):
        place = to / path.relative_to(source)
        try:
            if path.is_dir():
                place.mkdir(mode=0o700, exist_ok=True)
            else:
                shutil.copy2(path, place)
        except FileNotFoundError:
            if path.exists():
                raise


def _dump(url: URL, to: Path) -> None:
    if url.get_backend_name() == "sqlite":
        with closing(sqlite3.connect(str(url.database))) as source, closing(sqlite3.connect(to)) as copy:
            source.backup(copy)  # a reader among others: nobody waits for it
        return
    _run(url, "pg_dump", "--format=custom", "--no-owner", f"--file={to}")


def _load(url: URL, source: Path) -> None:
    if url.get_backend_name() == "sqlite":
        shutil.copy2(source, str(url.database))
        return
    _run(url, "pg_restore", "--no-owner", "--exit-on-error", "--single-transaction", str(source))


def _run(url: URL, program: str, *arguments: str) -> None:
    """One of PostgreSQL's programs; the password goes where other users of the machine do not see it."""
    if shutil.which(program) is None:
        raise PackageMissing(f"{program} is not on this machine: install PostgreSQL's client programs")
    named = url.set(drivername="postgresql", password=None)
    with tempfile.NamedTemporaryFile("w") as passwords:
        if url.password:
            passwords.write(":".join(["*"] * 4 + [re.sub(r"([\\:])", r"\\\1", url.password)]))
            passwords.flush()
            named = named.update_query_dict({"passfile": passwords.name})
        command = [program, "--dbname", named.render_as_string(), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NotReady(f"{program} failed: {done.stderr.strip()[-500:]}")
