"""What a holder writes, and what one that is not the holder any more cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import checkpoint, event, job, metric
from app.db.tables.checkpoint import CheckpointRow
from app.llm.errors import TrainingStopped
from app.services import leases
from app.services.progress import FLUSH_EVERY_S, Progress
from tests.jobs_made import queued
from tests.workers.fake_trainer import Report


class Clock:
    """Seconds that a test lets pass."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def held(database: Database, clock: Clock | None = None) -> Progress:
    queued(database)
    claim = leases.claim(database, "w1", 30)
    assert claim is not None
    return Progress(database, claim.job_id, claim.fence, clock or Clock())


def events_of(database: Database, job_id: str) -> list[tuple[str, str]]:
    with database.read() as session:
        return [(one.type, one.message) for one in event.of_job(session, job_id, 0, 1000)]


def steps_of(database: Database, job_id: str) -> list[int]:
    with database.read() as session:
        return [row.step for row in metric.of_job(session, job_id, -1, 1000)]


def status_of(database: Database, job_id: str) -> str:
    with database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
        return row.status


def test_steps_are_written_together_and_not_later_than_half_a_second(any_database: Database) -> None:
    clock = Clock()
    progress = held(any_database, clock)
    for step in (1, 2):
        progress.report(Report(step, 9, loss=3.0))
    assert steps_of(any_database, progress.job_id) == []
    clock.now += FLUSH_EVERY_S
    progress.report(Report(3, 9, loss=3.0))
    assert steps_of(any_database, progress.job_id) == [1, 2, 3]
    progress.report(Report(4, 9, loss=3.0, val_loss=3.5))  # an evaluation is shown at once
    assert steps_of(any_database, progress.job_id) == [1, 2, 3, 4]
    with any_database.read() as session:
        row = job.get(session, progress.job_id)
        assert row is not None
        assert (row.step, row.total_steps) == (4, 9)


def test_events_come_in_the_order_in_which_they_were_told(any_database: Database) -> None:
    progress = held(any_database)
    progress.report(Report(1, 9, loss=3.0))
    progress.sample(1, "one\0 two\n three")
    progress.report(Report(2, 9, loss=2.0))
    progress.message("half-time", level="warn", data={"at": 2})
    assert events_of(any_database, progress.job_id)[1:] == [
        ("metrics", "step 1 of 9, loss 3.0000"),
        ("sample", "sample at step 1: one\N{REPLACEMENT CHARACTER} two three"),
        ("metrics", "step 2 of 9, loss 2.0000"),
        ("message", "half-time"),
    ]
    with any_database.read() as session:
        sample = event.of_job(session, progress.job_id, 0, 1000)[2]
    assert sample.data == {"step": 1, "text": "one\0 two\n three"}


def test_a_step_measured_again_takes_the_place_of_the_first(any_database: Database) -> None:
    progress = held(any_database)
    for step, loss in ((1, 3.0), (2, 2.0), (1, 3.5)):
        progress.report(Report(step, 9, loss=loss))
        progress.flush()
    with any_database.read() as session:
        rows = metric.of_job(session, progress.job_id, -1, 10)
    assert [(row.step, row.loss) for row in rows] == [(1, 3.5), (2, 2.0)]


def test_a_checkpoint_of_a_step_is_listed_once(any_database: Database) -> None:
    progress = held(any_database)
    progress.checkpoint(5, "step-5-fence-1", 10, "a" * 64, {"loss": 2.0})
    progress.checkpoint(5, "step-5-fence-2", 11, "b" * 64, {"loss": 2.0})
    with any_database.read() as session:
        [row] = checkpoint.of_job(session, progress.job_id)
    assert (row.id, row.path, row.size_bytes, row.attempt) == (f"{progress.job_id}@5", "step-5-fence-2", 11, 1)
    assert events_of(any_database, progress.job_id)[-1] == ("checkpoint", "checkpoint at step 5")


def test_a_stale_holder_writes_nothing(any_database: Database) -> None:
    progress = held(any_database)
    progress.report(Report(1, 9, loss=3.0))
    with any_database.write() as session:
        row = job.lock(session, progress.job_id)
        assert row is not None
        job.release(row)
    second = leases.claim(any_database, "w2", 30)
    assert second is not None
    before = events_of(any_database, progress.job_id)
    for write in (
        progress.flush,
        lambda: progress.report(Report(2, 9, loss=1.0, val_loss=1.0)),
        lambda: progress.message("hello"),
        lambda: progress.sample(1, "text"),
        lambda: progress.checkpoint(2, "d", 1, "0", {}),
        lambda: progress.fail("code", "message"),
        lambda: progress.pause("code", "message"),
        progress.cancel,
        lambda: progress.release("a test"),
    ):
        with pytest.raises(TrainingStopped, match="lost"):
            write()
    with pytest.raises(TrainingStopped, match="lost"), progress.writing() as session:
        progress.succeed(session, "model", None)
    assert events_of(any_database, progress.job_id) == before
    assert steps_of(any_database, progress.job_id) == []
    assert status_of(any_database, progress.job_id) == "running"


def test_success_and_what_belongs_to_it_are_written_together(any_database: Database) -> None:
    progress = held(any_database)
    progress.report(Report(9, 9, loss=1.0))
    with progress.writing() as session:
        session.add(
            CheckpointRow(
                id="x", job_id=progress.job_id, step=9, attempt=1, fence=1, path="p", size_bytes=1, sha256="0",
                metrics={},
            )
        )  # fmt: skip
        progress.succeed(session, "tide", f"{progress.job_id}@9")
    with any_database.read() as session:
        row = job.get(session, progress.job_id)
        assert row is not None
        assert checkpoint.of_job(session, progress.job_id) != []
    assert (row.status, row.result_model, row.result_checkpoint) == ("succeeded", "tide", f"{progress.job_id}@9")
    assert (row.finished_at is not None, row.lease_until, row.worker_id, row.step) == (True, None, None, 9)
    assert events_of(any_database, progress.job_id)[-1] == ("status", "succeeded: model tide")


def test_a_failure_tells_code_message_and_field(any_database: Database) -> None:
    progress = held(any_database)
    progress.fail("out_of_memory", "too much", "train.batch_size")
    with any_database.read() as session:
        row = job.get(session, progress.job_id)
        assert row is not None
    assert row.error == {"code": "out_of_memory", "message": "too much", "param": "train.batch_size"}
    assert row.status == "failed"


def test_a_job_given_back_while_it_is_to_be_cancelled_is_cancelled(any_database: Database) -> None:
    progress = held(any_database)
    with any_database.write() as session:
        row = job.lock(session, progress.job_id)
        assert row is not None
        row.cancel_requested = True
    progress.release("a test")
    assert status_of(any_database, progress.job_id) == "cancelled"


def test_a_job_given_back_is_in_the_queue(any_database: Database) -> None:
    progress = held(any_database)
    progress.release("a test")
    assert status_of(any_database, progress.job_id) == "queued"
    assert leases.claim(any_database, "w2", 30) is not None


class Away(Database):
    """A database that is there again after so many seconds of `clock`."""

    def __init__(self, there: Database, clock: Clock, for_s: float) -> None:
        super().__init__(there.url.render_as_string(hide_password=False))
        self._clock, self._back_at = clock, clock.now + for_s

    @contextmanager
    def write(self) -> Iterator[Session]:
        self._clock.now += 1
        with super().write() as session:
            if self._clock.now < self._back_at:
                raise OperationalError("SELECT", {}, Exception("the connection was refused"))
            yield session


@pytest.mark.parametrize("patience_s", [5.0, 1.0])
def test_a_write_waits_for_a_database_that_is_away(any_database: Database, patience_s: float) -> None:
    """A restart of the database ended the trainer, and with it all that was done since the last checkpoint."""
    clock = Clock()
    claimed = held(any_database)
    away = Away(any_database, clock, for_s=3)
    progress = Progress(away, claimed.job_id, claimed.fence, clock, patience_s)
    with nullcontext() if patience_s > 3 else pytest.raises(OperationalError):
        progress.report(Report(1, 9, loss=3.0, val_loss=3.0))
    assert steps_of(any_database, progress.job_id) == ([1] if patience_s > 3 else [])
    away.dispose()
