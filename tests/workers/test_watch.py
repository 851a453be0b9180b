"""What a trainer knows of its lease, in threads of one process: another holder, and a database that is away."""

from __future__ import annotations

import time

from app.db.session import Database
from app.db.tables import job
from app.services import leases
from tests.jobs_made import queued
from workers.watch import Watch


def watching(database: Database, lease_s: float) -> Watch:
    """The watch of a job just claimed, whose heart does not beat by itself."""
    job_id = queued(database)
    claim = leases.claim(database, "w1", lease_s)
    assert claim is not None
    return Watch(database, job_id, claim.fence, lease_s)


def test_one_that_slept_beyond_its_lease_asks_before_it_goes_on(any_database: Database) -> None:
    """SIGSTOP and SIGCONT: it trained on until its heart beat again, beside the one that has the job now."""
    watch = watching(any_database, lease_s=0.3)
    time.sleep(0.35)
    assert leases.take_back_expired(any_database, 3)
    assert watch.should_stop() == "lost"
    watch.end()


def test_one_that_slept_and_still_has_its_job_goes_on(any_database: Database) -> None:
    watch = watching(any_database, lease_s=0.3)
    time.sleep(0.35)
    assert watch.should_stop() is None
    with any_database.read() as session:
        [row] = job.live(session)
    assert row.lease_until is not None
    assert row.lease_until > time.time()
    watch.end()


def test_a_model_that_is_to_be_kept_is_made_without_haste(any_database: Database) -> None:
    """Large ones were not read within the fifteen seconds that a cancelled trainer has, again and again."""
    watch = watching(any_database, lease_s=0.1)
    for keep_model, has_limit in ((True, False), (False, True)):
        with any_database.write() as session:
            [row] = job.live(session)
            row.cancel_requested, row.keep_model = True, keep_model
        watch._renew()
        assert watch.should_stop() == "cancelled"
        assert bool(watch._timed) is has_limit
    watch.end()
