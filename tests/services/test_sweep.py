"""A round of the sweep: what is silent, what was not told of, what nobody reads any more."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables import job
from app.services import leases
from app.services.queue import Nudger, make_celery
from app.services.storage import Storage
from app.services.sweep import OLD_NUDGE_S, OLD_SCRATCH_S, Sweeper
from tests.jobs_made import queued


@pytest.fixture
def sweeper(settings: Settings, any_database: Database) -> Sweeper:
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    return Sweeper(settings, any_database, storage, Nudger(make_celery(settings)))


def messages(settings: Settings) -> list[Path]:
    return sorted(settings.data_dir.glob("queue/messages/*.inkling.msg"))


def test_a_silent_job_is_taken_back_and_told_of(sweeper: Sweeper, settings: Settings, any_database: Database) -> None:
    job_id = queued(any_database)
    assert leases.claim(any_database, "w1", 0.05) is not None
    time.sleep(0.1)
    sweeper.sweep()
    with any_database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
    assert (row.status, row.stalled_attempts) == ("queued", 1)
    assert messages(settings) == []  # it waits a little first
    with any_database.write() as session:
        locked = job.lock(session, job_id)
        assert locked is not None
        locked.not_before = 0
    sweeper.sweep()
    sweeper.sweep()
    assert len(messages(settings)) == 1


def test_a_job_that_runs_is_left_alone(sweeper: Sweeper, any_database: Database) -> None:
    queued(any_database)
    claim = leases.claim(any_database, "w1", 30)
    assert claim is not None
    sweeper.sweep()
    assert leases.is_held(any_database, claim)


def test_sweeps_at_once_take_a_job_back_once(sweeper: Sweeper, any_database: Database) -> None:
    job_id = queued(any_database)
    assert leases.claim(any_database, "w1", 0.05) is not None
    time.sleep(0.1)
    threads = [threading.Thread(target=sweeper.sweep) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with any_database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
        assert row.stalled_attempts == 1


def test_old_files_go_and_new_ones_stay(sweeper: Sweeper, settings: Settings) -> None:
    ages = {
        "queue/processed": OLD_NUDGE_S,
        "queue/messages": OLD_NUDGE_S,
        "scratch": OLD_SCRATCH_S,
        "spool": OLD_SCRATCH_S,
    }
    for folder, age_s in ages.items():
        for name, seconds in (("old", age_s + 60), ("new", age_s - 60)):
            path = settings.data_dir / folder / name
            path.write_text("x")
            os.utime(path, (time.time() - seconds,) * 2)
    folder_left = settings.data_dir / "scratch" / "an-export"
    folder_left.mkdir()
    (folder_left / "model.gguf").write_bytes(b"half")
    os.utime(folder_left, (time.time() - OLD_SCRATCH_S - 60,) * 2)
    sweeper.sweep()
    assert not folder_left.exists()
    for folder in ages:
        assert [path.name for path in (settings.data_dir / folder).iterdir() if path.is_file()] == ["new"]


def test_it_goes_on_when_the_database_comes_back(settings: Settings, any_database: Database) -> None:
    """The schema is not there yet, as when the worker starts before the server; then it is."""
    away = Database(f"sqlite:///{settings.data_dir / 'later.db'}")
    settings = settings.model_copy(update={"lease_s": 0.3})
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    sweeper = Sweeper(settings, away, storage, Nudger(make_celery(settings)))
    stopping = threading.Event()
    thread = threading.Thread(target=sweeper.run, args=(stopping,))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    stopping.set()
    thread.join(5)
    assert not thread.is_alive()
    away.dispose()


def test_a_worker_that_is_busy_nudges_nobody(settings: Settings, any_database: Database) -> None:
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    busy = True
    nudger = Nudger(make_celery(settings))
    sweeper = Sweeper(settings, any_database, storage, nudger, is_busy=lambda: busy)
    queued(any_database)
    sweeper.sweep()
    assert messages(settings) == []
    busy = False
    sweeper.sweep()
    assert len(messages(settings)) == 1
