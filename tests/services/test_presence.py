"""Which workers live, and what a job waits for that none of them can run: on both databases."""

from __future__ import annotations

import time

from app.db.session import Database
from app.db.tables import job, worker
from app.services.devices import Devices
from app.services.presence import Presence, waiting_for
from tests.jobs_made import queued


def a_worker(database: Database, name: str, devices: Devices) -> Presence:
    return Presence(database, name, "here", lambda: devices)


def lacking(database: Database, job_id: str, lease_s: float = 30) -> str | None:
    with database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
        return waiting_for(session, [row], lease_s).get(job_id)


def test_a_queued_job_says_what_it_waits_for(any_database: Database) -> None:
    anywhere, card = queued(any_database), queued(any_database, device="cuda")
    pair = queued(any_database, device="cuda", devices=2)
    processes = queued(any_database, device="cpu", devices=2)
    assert lacking(any_database, anywhere) == "no worker is alive; `inkling worker` starts one"
    small = a_worker(any_database, "w1", {"cpu": 1})
    small.tell()
    assert lacking(any_database, anywhere) is None
    assert lacking(any_database, card) == "no live worker has cuda"
    assert lacking(any_database, pair) == "no live worker has 2 devices for it"
    told = "no live worker has 2 devices for it; on the CPU, INKLING_CPU_DEVICES says how many"
    assert lacking(any_database, processes) == told
    large = a_worker(any_database, "w2", {"cpu": 2, "cuda": 1})
    large.tell()
    assert lacking(any_database, card) is None
    assert lacking(any_database, processes) is None
    assert lacking(any_database, pair) == "no live worker has 2 devices for it"
    large.leave()
    assert lacking(any_database, card) == "no live worker has cuda"


def test_a_worker_that_is_silent_counts_no_more(any_database: Database) -> None:
    job_id = queued(any_database)
    one = a_worker(any_database, "w1", {"cpu": 1})
    one.tell()
    time.sleep(0.3)
    assert lacking(any_database, job_id, lease_s=0.2) is not None
    one.tell()
    assert lacking(any_database, job_id, lease_s=0.2) is None
    with any_database.write() as session:
        row = session.get(worker.WorkerRow, "w1")
        assert row is not None
        row.seen_at = time.time() - 7200
    a_worker(any_database, "w2", {"cpu": 1}).tell()
    with any_database.read() as session:
        assert session.get(worker.WorkerRow, "w1") is None


def test_a_running_job_waits_for_nothing(any_database: Database) -> None:
    job_id = queued(any_database, device="cuda")
    with any_database.write() as session:
        assert job.claim(session, "w", 30, {"cuda": 1}) is not None
    assert lacking(any_database, job_id) is None
