"""A service copied aside and put back: both databases, all files, nothing written over, nothing half made."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.db import migrate
from app.db.session import Database
from app.db.tables import job as job_table
from app.errors import Conflict, DataMissing, NotReady, PackageMissing
from app.services.backup import back_up, restore
from app.services.storage import Storage
from tests.conftest import a_postgres_database
from tests.jobs_made import a_dataset, a_job


@pytest.fixture
def kept(any_database: Database, settings: Settings) -> Settings:
    """A service with a job, a dataset's file, a model's folder, and things that can be made again."""
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    with any_database.write() as session:
        a_dataset(session, "ds_1")
        a_job(session, id="job_1", step=7)
    storage.dataset("ds_1").write_text("The tide turns.")
    storage.model("tides:winter").mkdir()
    (storage.model("tides:winter") / "model.safetensors").write_bytes(b"\x00" * 100)
    (storage.tokens("ds_1")).mkdir()
    (storage.tokens("ds_1") / "tokens.bin").write_bytes(b"\x00" * 1000)
    return settings.model_copy(update={"database_url": any_database.url.render_as_string(hide_password=False)})


@pytest.fixture
def empty(kept: Settings, tmp_path: Path) -> Iterator[Settings]:
    """Another place of the same kind, with nothing in it."""
    new = tmp_path / "new"
    if not kept.database_url.startswith("postgresql"):
        yield kept.model_copy(update={"data_dir": new, "database_url": f"sqlite:///{new / 'inkling.db'}"})
        return
    with a_postgres_database() as url:
        yield kept.model_copy(update={"data_dir": new, "database_url": url})


def test_all_of_it_comes_back(kept: Settings, empty: Settings, tmp_path: Path) -> None:
    made = back_up(kept, tmp_path / "backup")
    assert (made.files, made.size_bytes > 115) == (2, True)
    assert not (tmp_path / "backup" / "files" / "tokens").exists()
    assert restore(empty, tmp_path / "backup") == made
    storage = Storage(empty.data_dir, empty.assets_dir)
    assert storage.dataset("ds_1").read_text() == "The tide turns."
    assert (storage.model("tides:winter") / "model.safetensors").stat().st_size == 100
    database = Database(empty.effective_database_url)
    with database.read() as session:
        job = job_table.get(session, "job_1")
        assert job is not None
        assert (job.step, job.status) == (7, "queued")
    database.dispose()


def test_nothing_is_written_over(kept: Settings, empty: Settings, tmp_path: Path) -> None:
    back_up(kept, tmp_path / "backup")
    with pytest.raises(Conflict, match="there already"):
        back_up(kept, tmp_path / "backup")
    with pytest.raises(Conflict, match="not empty"):
        restore(kept, tmp_path / "backup")
    with pytest.raises(Conflict, match="has tables"):
        restore(kept.model_copy(update={"data_dir": empty.data_dir}), tmp_path / "backup")
    assert not empty.data_dir.exists()


def test_a_backup_that_fails_leaves_nothing(kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space"):
        back_up(kept, tmp_path / "backup")
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


def test_a_restore_that_fails_can_be_tried_again(kept: Settings, empty: Settings, tmp_path: Path) -> None:
    back_up(kept, tmp_path / "backup")
    (dumped,) = (tmp_path / "backup").glob("inkling.*")
    whole = dumped.read_bytes()
    dumped.unlink()
    with pytest.raises((OSError, NotReady)):
        restore(empty, tmp_path / "backup")
    assert [path for path in Storage(empty.data_dir, empty.assets_dir).kept if path.exists()] == []
    dumped.write_bytes(whole)
    assert restore(empty, tmp_path / "backup").files == 2


def test_what_is_deleted_meanwhile_is_left_out(kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copy2

    def late(source: Path, to: Path) -> object:
        if source.name == "ds_1":
            source.unlink()
        return copy(source, to)

    monkeypatch.setattr(shutil, "copy2", late)
    assert back_up(kept, tmp_path / "backup").files == 1


def test_what_is_no_backup_is_refused(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match="holds no backup"):
        restore(settings, tmp_path)


def test_another_kind_of_database_is_refused(kept: Settings, tmp_path: Path) -> None:
    back_up(kept, tmp_path / "backup")
    other = "sqlite://" if kept.database_url.startswith("postgresql") else "postgresql://127.0.0.1/none"
    with pytest.raises(Conflict, match="the backup is of"):
        restore(kept.model_copy(update={"database_url": other, "data_dir": tmp_path / "new"}), tmp_path / "backup")


@pytest.mark.services
def test_postgresqls_programs_are_named_where_they_lack(
    postgres_url: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageMissing, match="pg_dump"):
        back_up(settings.model_copy(update={"database_url": postgres_url}), tmp_path / "backup")


def test_a_password_stands_in_no_list_of_processes(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that tells what it was called with, and what stands in the file of passwords that it is told of."""
    spare, told, program = tmp_path / "spare", tmp_path / "told", tmp_path / "pg_dump"
    spare.mkdir()
    program.write_text(f"#!/bin/sh\necho $@ > {told}\ncat {spare}/* >> {told}\nexit 3\n")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(migrate, "revisions", lambda _: ("1", []))
    monkeypatch.setattr(tempfile, "tempdir", str(spare))
    url = "postgresql://ink:a%3Ab%5Cc@127.0.0.1:1/none"
    with pytest.raises(NotReady, match="pg_dump failed"):
        back_up(settings.model_copy(update={"database_url": url}), tmp_path / "backup")
    called, passwords = told.read_text().splitlines()
    assert "a:b" not in called
    assert "a%3Ab" not in called
    assert passwords == r"*:*:*:*:a\:b\\c"
