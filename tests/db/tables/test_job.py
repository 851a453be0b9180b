"""The life of a job's row, on both databases: one holder at a time, fences that only grow, no way back from an end."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.exc import IntegrityError

from app.db.session import Database
from app.db.tables import job
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import Ending, JobRow, Lease
from tests.jobs_made import a_job, queued


def claimed(database: Database, lease_s: float = 30.0, worker: str = "w1") -> JobRow | None:
    with database.write() as session:
        return job.claim(session, worker, lease_s)


def row_of(database: Database, job_id: str) -> JobRow:
    with database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
        return row


def take_back(database: Database, job_id: str, max_stalled: int = 3) -> JobRow:
    with database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        job.take_back(session, row, max_stalled, "it crashed")
    return row_of(database, job_id)


def test_a_claim_takes_the_job_for_a_while(any_database: Database) -> None:
    job_id = queued(any_database)
    row = claimed(any_database, lease_s=30)
    assert row is not None
    assert (row.id, row.status, row.fence, row.attempt, row.worker_id) == (job_id, "running", 1, 1, "w1")
    assert row.lease_until is not None
    assert row.started_at is not None
    assert row.lease_until - row.started_at == pytest.approx(30, abs=1)
    assert row.started_at == pytest.approx(time.time(), abs=5)
    assert claimed(any_database) is None


def test_priority_goes_before_age_and_age_before_nothing(any_database: Database) -> None:
    first, second = queued(any_database), queued(any_database)
    urgent = queued(any_database, priority=5)
    later = queued(any_database, priority=9, not_before=time.time() + 60)
    order = []
    while (row := claimed(any_database)) is not None:
        order.append(row.id)
    assert order == [urgent, first, second]
    assert row_of(any_database, later).status == "queued"


def test_a_worker_claims_only_what_it_can_run(any_database: Database) -> None:
    card = queued(any_database, device="cuda", priority=9)
    pair = queued(any_database, device="cuda", devices=2, priority=8)
    anywhere = queued(any_database, device="auto")
    cpu = queued(any_database, device="cpu")

    def all_claimed(devices: dict[str, int]) -> list[str]:
        found = []
        while True:
            with any_database.write() as session:
                row = job.claim(session, "w", 30, devices)
            if row is None:
                return found
            found.append(row.id)

    assert all_claimed({}) == []
    assert all_claimed({"cpu": 1}) == [anywhere, cpu]
    assert all_claimed({"cpu": 1, "cuda": 1}) == [card]
    assert all_claimed({"cuda": 2}) == [pair]


def test_many_claims_at_once_give_each_job_to_one_holder(any_database: Database) -> None:
    ids = {queued(any_database) for _ in range(8)}
    barrier = threading.Barrier(6)

    def work(number: int) -> list[str]:
        barrier.wait()
        mine = []
        while (row := claimed(any_database, worker=f"w{number}")) is not None:
            mine.append(row.id)
        return mine

    with ThreadPoolExecutor(6) as pool:
        taken = [job_id for mine in pool.map(work, range(6)) for job_id in mine]
    assert sorted(taken) == sorted(ids)


def test_only_the_holder_renews(any_database: Database) -> None:
    job_id = queued(any_database)
    claimed(any_database)
    with any_database.write() as session:
        assert job.renew(session, job_id, 1, 30) == Lease(cancel_requested=False, pause_requested=False)
        assert job.renew(session, job_id, 0, 30) is None
        assert job.renew(session, "job_none", 1, 30) is None
        assert job.hold(session, job_id, 2) is None
        held = job.hold(session, job_id, 1)
        assert held is not None
        job.finish(held, Ending("succeeded"))
        session.flush()
        assert job.renew(session, job_id, 1, 30) is None
        assert job.hold(session, job_id, 1) is None


def test_a_lease_that_ran_out_is_found_and_the_next_claim_has_a_new_fence(any_database: Database) -> None:
    job_id = queued(any_database)
    claimed(any_database, lease_s=0.05)
    other = queued(any_database)
    claimed(any_database, lease_s=30)
    time.sleep(0.1)
    with any_database.write() as session:
        assert [row.id for row in job.expired(session)] == [job_id]
    take_back(any_database, job_id)
    with any_database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        row.not_before = 0
    again = claimed(any_database)
    assert again is not None
    assert (again.id, again.fence, again.attempt) == (job_id, 2, 2)
    assert row_of(any_database, other).fence == 1


def test_attempts_without_progress_wait_longer_each_time_and_end_in_failure(any_database: Database) -> None:
    job_id = queued(any_database)
    waits = []
    for attempt in range(1, 4):
        row = claimed(any_database)
        assert row is not None
        assert row.attempt == attempt
        row = take_back(any_database, job_id)
        waits.append(row.not_before - time.time())
        with any_database.write() as session:
            locked = job.lock(session, job_id)
            assert locked is not None
            locked.not_before = 0
    assert waits[:2] == [pytest.approx(2, abs=1), pytest.approx(4, abs=1)]
    assert row.status == "failed"
    assert row.error == {
        "code": "attempts_exhausted",
        "message": "3 attempts ended without progress; the last one: it crashed",
        "param": None,
    }
    assert row.finished_at is not None
    assert claimed(any_database) is None


def test_an_attempt_that_came_further_than_any_before_is_none_of_those_in_a_row(any_database: Database) -> None:
    job_id = queued(any_database)
    for reached, stalled in ((10, 0), (8, 1), (10, 2), (11, 0), (11, 1)):  # the second goes on from a checkpoint
        claimed(any_database)
        with any_database.write() as session:
            row = job.lock(session, job_id)
            assert row is not None
            row.step = reached
        row = take_back(any_database, job_id, max_stalled=9)
        assert (row.step, row.stalled_attempts) == (reached, stalled)
        with any_database.write() as session:
            locked = job.lock(session, job_id)
            assert locked is not None
            locked.not_before = 0


def test_an_attempt_that_made_a_new_checkpoint_does_not_count(any_database: Database) -> None:
    job_id = queued(any_database)
    claimed(any_database)
    with any_database.write() as session:
        session.add(
            CheckpointRow(
                id=f"{job_id}@5", job_id=job_id, step=5, attempt=1, fence=1,
                path="p", size_bytes=1, sha256="0", metrics={},
            )
        )  # fmt: skip
    assert take_back(any_database, job_id).stalled_attempts == 0
    claimed(any_database)
    assert take_back(any_database, job_id).stalled_attempts == 1


def test_a_job_that_was_to_be_cancelled_is_cancelled_when_its_holder_dies(any_database: Database) -> None:
    job_id = queued(any_database)
    claimed(any_database)
    with any_database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        row.cancel_requested = True
    with any_database.write() as session:
        assert job.renew(session, job_id, 1, 30) == Lease(cancel_requested=True, pause_requested=False)
    assert take_back(any_database, job_id).status == "cancelled"


@pytest.mark.parametrize("how", ["dies", "lets go"])
def test_a_pause_is_honoured_however_its_holder_ends(any_database: Database, how: str) -> None:
    job_id = queued(any_database, name="tide")
    claimed(any_database)
    with any_database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        row.pause_requested = True
    with any_database.write() as session:
        assert job.renew(session, job_id, 1, 30) == Lease(cancel_requested=False, pause_requested=True)
        held = job.hold(session, job_id, 1)
        assert held is not None
        if how == "dies":
            job.take_back(session, held, 1, "it crashed")
        else:
            job.release(held)
    row = row_of(any_database, job_id)
    assert (row.status, row.pause_requested, row.worker_id, row.lease_until) == ("paused", False, None, None)
    assert claimed(any_database) is None
    with pytest.raises(IntegrityError):
        queued(any_database, name="tide")
    with any_database.write() as session:
        assert job.hold(session, job_id, 1) is None
        assert job.due_for_nudge(session, -1) == []
        paused = job.lock(session, job_id)
        assert paused is not None
        job.resume(paused)
    again = claimed(any_database)
    assert again is not None
    assert (again.id, again.fence) == (job_id, 2)


def test_a_released_job_is_due_at_once_and_lost_no_attempt(any_database: Database) -> None:
    job_id = queued(any_database)
    claimed(any_database)
    with any_database.write() as session:
        row = job.hold(session, job_id, 1)
        assert row is not None
        job.release(row)
    again = claimed(any_database)
    assert again is not None
    assert (again.id, again.fence, again.stalled_attempts) == (job_id, 2, 0)


def test_a_job_is_due_for_a_nudge_once_per_while(any_database: Database) -> None:
    job_id = queued(any_database)
    with any_database.write() as session:
        assert job.due_for_nudge(session, 15) == [job_id]
        assert job.due_for_nudge(session, 15) == []
        assert job.due_for_nudge(session, -1) == [job_id]
    claimed(any_database)
    with any_database.write() as session:
        assert job.due_for_nudge(session, -1) == []


def test_two_live_jobs_cannot_make_one_model(any_database: Database) -> None:
    first = queued(any_database, name="tide")
    with pytest.raises(IntegrityError):
        queued(any_database, name="tide")
    with any_database.write() as session:
        row = job.lock(session, first)
        assert row is not None
        job.finish(row, Ending("cancelled"))
    queued(any_database, name="tide")


def test_a_row_made_in_a_scope_can_be_read_after_it(any_database: Database) -> None:
    with any_database.write() as session:
        row = a_job(session)
    assert row.created_at > 1.7e9
