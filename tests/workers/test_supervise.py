"""What becomes of a job when something dies: real worker processes, real signals, both brokers and databases."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from itertools import pairwise

from app.db.tables import job, worker
from tests.collector import collecting
from tests.jobs_made import a_job
from tests.process_tree import is_alive
from tests.workers.conftest import Bench, stop


def starts(bench: Bench, job_id: str) -> list[int]:
    """The step from which each attempt began."""
    return [int(one.message.split()[-1]) for one in bench.events(job_id, "message")]


def states(bench: Bench, job_id: str) -> list[str]:
    return [one.data["status"] for one in bench.events(job_id, "status")]


def test_a_trainer_that_is_killed_goes_on_from_its_last_checkpoint(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=30, step_s=0.05, checkpoint_every=5)
    bench.until_step(job_id, 12)
    os.kill(bench.trainer_pids(job_id)[0], signal.SIGKILL)
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.step, row.attempt, row.fence, row.stalled_attempts) == ("succeeded", 30, 2, 2, 0)
    first, second = starts(bench, job_id)
    assert first == 0
    assert second >= 10
    assert second % 5 == 0
    assert states(bench, job_id) == ["running", "queued", "running", "succeeded"]
    assert bench.events(job_id, "status")[1].data["reason"] == "killed"


def test_a_trainer_that_is_killed_without_a_checkpoint_starts_again(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=20, step_s=0.05, die_at=5, die_attempts=1)
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.attempt) == ("succeeded", 2)
    assert starts(bench, job_id) == [0, 0]


def test_a_job_that_always_crashes_fails_and_the_worker_lives_on(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.job(die_at=3, die_with=1)
    row = bench.until_status(job_id, "succeeded", "failed")
    assert row.status == "failed"
    assert row.error is not None
    assert row.error["code"] == "attempts_exhausted"
    assert "status 1" in row.error["message"]
    assert (row.attempt, row.stalled_attempts) == (4, 3)  # the first one came to step 3, the others no further
    after = bench.job()
    assert bench.until_status(after, "succeeded", "failed").status == "succeeded"
    assert worker.poll() is None


def test_a_worker_that_is_killed_takes_its_trainer_along_and_another_goes_on(bench: Bench) -> None:
    first = bench.worker()
    job_id = bench.job(max_steps=60, step_s=0.05, checkpoint_every=5)
    bench.until_step(job_id, 12)
    first.kill()
    first.wait()
    pid = bench.trainer_pids(job_id)[0]
    bench.until(lambda: not is_alive(pid), timeout_s=6)
    bench.worker()
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.step, row.fence) == ("succeeded", 60, 2)
    assert starts(bench, job_id)[1] >= 10


def test_worker_and_trainer_killed_together_lose_the_job_for_no_longer_than_its_lease(bench: Bench) -> None:
    first = bench.worker()
    job_id = bench.job(max_steps=60, step_s=0.05, checkpoint_every=5)
    bench.until_step(job_id, 12)
    os.kill(bench.trainer_pids(job_id)[0], signal.SIGKILL)
    first.kill()
    first.wait()
    bench.worker()
    row = bench.until_status(job_id, "succeeded", "failed", timeout_s=30)
    assert (row.status, row.step, row.fence) == ("succeeded", 60, 2)
    reasons = [one.data.get("reason") for one in bench.events(job_id, "status")]
    assert reasons in ([None, "silent", None, None], [None, "killed", None, None])


def test_a_trainer_that_sleeps_beyond_its_lease_writes_nothing_more(bench: Bench) -> None:
    bench.worker()
    bench.worker()
    job_id = bench.job(max_steps=80, step_s=0.05, checkpoint_every=5)
    bench.until_step(job_id, 12)
    pid = bench.trainer_pids(job_id)[0]
    with bench.database.write():  # not in the midst of a write of its own, which is another test
        os.kill(pid, signal.SIGSTOP)
    bench.until(lambda: bench.row(job_id).fence == 2)
    with suppress(ProcessLookupError):  # its worker may have lost patience
        os.kill(pid, signal.SIGCONT)
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.step, row.fence) == ("succeeded", 80, 2)
    bench.until(lambda: not is_alive(pid), timeout_s=10)
    steps = [one.data["step"] for one in bench.events(job_id, "metrics")]
    back = [(before, after) for before, after in pairwise(steps) if after != before + 1]
    assert len(back) == 1  # to the checkpoint, once: the first holder wrote nothing after the second began


def test_a_trainer_that_sleeps_in_the_midst_of_a_write_is_killed_so_that_others_can_write(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=40, step_s=0.05, checkpoint_every=5, freeze_at=12)
    row = bench.until_status(job_id, "succeeded", "failed", timeout_s=90)
    assert (row.status, row.step, row.fence) == ("succeeded", 40, 2)
    assert starts(bench, job_id)[1] == 10
    assert not is_alive(bench.trainer_pids(job_id)[0])


def test_a_trainer_that_hangs_in_a_job_taken_back_is_killed(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=40, step_s=0.05, checkpoint_every=5, hang_at=12)
    bench.until_step(job_id, 12)
    pid = bench.trainer_pids(job_id)[0]
    os.kill(pid, signal.SIGSTOP)
    row = bench.until_status(job_id, "succeeded", "failed", timeout_s=60)
    assert row.status == "succeeded"
    assert not is_alive(pid)


def test_cancelling_a_running_job_ends_it_soon(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=2000, step_s=0.05)
    bench.until_step(job_id, 3)
    with bench.database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        row.cancel_requested = True
    began = time.monotonic()
    assert bench.until_status(job_id, "cancelled", "succeeded", "failed").status == "cancelled"
    assert time.monotonic() - began < bench.settings.lease_s / 6 + 1.5
    after = bench.job()
    bench.until_status(after, "succeeded")


def ask(bench: Bench, job_id: str, **asked: bool) -> None:
    with bench.database.write() as session:
        row = job.lock(session, job_id)
        assert row is not None
        for name, value in asked.items():
            setattr(row, name, value)


def test_pausing_a_running_job_saves_it_and_frees_the_slot(bench: Bench) -> None:
    bench.worker()
    job_id = bench.job(max_steps=100, step_s=0.05)
    bench.until_step(job_id, 5)
    ask(bench, job_id, pause_requested=True)
    began = time.monotonic()
    row = bench.until_status(job_id, "paused", "succeeded", "failed")
    assert time.monotonic() - began < bench.settings.lease_s / 6 + 1.5
    assert (row.status, row.worker_id, row.pause_requested, row.stalled_attempts) == ("paused", None, False, 0)
    other = bench.job(max_steps=3)
    assert bench.until_status(other, "succeeded", "failed").status == "succeeded"
    assert bench.row(job_id).status == "paused"
    with bench.database.write() as session:
        paused = job.lock(session, job_id)
        assert paused is not None
        job.resume(paused)
    bench.nudger.send(job_id)
    assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"
    assert starts(bench, job_id)[1] >= 5


def test_a_pause_is_honoured_where_the_worker_died(bench: Bench) -> None:
    first = bench.worker()
    job_id = bench.job(max_steps=200, step_s=0.05, checkpoint_every=5)
    bench.until_step(job_id, 7)
    # Killed, never stopped: a trainer stopped in the midst of a write holds SQLite's lock for good.
    trainer = bench.trainer_pids(job_id)[0]
    first.kill()
    os.kill(trainer, signal.SIGKILL)
    first.wait()
    ask(bench, job_id, pause_requested=True)
    bench.worker()
    row = bench.until_status(job_id, "paused", "succeeded", "failed", timeout_s=30)
    assert row.status == "paused"


def test_a_worker_told_to_end_gives_its_job_back_with_a_checkpoint(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.job(max_steps=100, step_s=0.05)
    bench.until_step(job_id, 12)
    pid = bench.trainer_pids(job_id)[0]
    status, took_s = stop(worker)
    assert status == 0
    assert took_s < 15
    assert not is_alive(pid)
    row = bench.row(job_id)
    assert (row.status, row.stalled_attempts, row.worker_id) == ("queued", 0, None)
    bench.worker()
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.step) == ("succeeded", 100)
    assert starts(bench, job_id)[1] >= 12


def test_a_worker_told_to_end_while_its_trainer_starts_costs_the_job_no_attempt(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.job(max_steps=100, step_s=0.05)
    bench.until_status(job_id, "running")
    assert stop(worker)[0] == 0
    row = bench.row(job_id)
    assert (row.status, row.stalled_attempts) == ("queued", 0)


def test_a_worker_leaves_a_job_that_it_cannot_run_and_tells_what_it_can(bench: Bench) -> None:
    bench.settings = bench.settings.model_copy(update={"worker_devices": "cpu"})
    running = bench.worker()
    with bench.database.write() as session:
        card = a_job(session, device="cuda", priority=100).id
    bench.nudger.send(card)
    small = bench.job()
    assert bench.until_status(small, "succeeded", "failed").status == "succeeded"
    with bench.database.read() as session:
        [row] = worker.live(session, bench.settings.lease_s)
    assert row.devices == {"cpu": 1}
    assert bench.row(card).status == "queued"
    assert stop(running)[0] == 0
    with bench.database.read() as session:
        assert worker.live(session, bench.settings.lease_s) == []


def test_many_nudges_for_one_job_run_it_once(bench: Bench) -> None:
    bench.worker()
    bench.worker()
    ids = [bench.job(max_steps=5) for _ in range(3)]
    for job_id in ids * 5:
        bench.nudger.send(job_id)
    for job_id in ids:
        assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"
    time.sleep(1)
    for job_id in ids:
        assert states(bench, job_id) == ["running", "succeeded"]
        assert bench.row(job_id).attempt == 1


def test_a_trainer_that_takes_longer_than_its_lease_to_start_keeps_its_job(bench: Bench) -> None:
    """On a busy machine Python alone took so long, and the job was taken back at each attempt, until it failed."""
    bench.worker()
    job_id = bench.job(max_steps=3, begin_after_s=bench.settings.lease_s + 2)
    row = bench.until_status(job_id, "succeeded", "failed")
    assert (row.status, row.attempt) == ("succeeded", 1)


def test_every_attempt_stands_in_the_trace_that_the_job_was_asked_for_in(bench: Bench) -> None:
    """Whatever became of the one before; and what waits to be sent is sent when the worker is told to end."""
    trace, request = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collecting() as collector:
        bench.settings = bench.settings.model_copy(update={"otlp_endpoint": collector.url})
        job_id = bench.job(max_steps=8, die_at=5, die_attempts=1)
        with bench.database.write() as session:
            row = job.lock(session, job_id)
            assert row is not None
            row.traceparent = f"00-{trace}-{request}-01"
        worker = bench.worker()
        assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"
        assert stop(worker)[0] == 0, bench.log()
        attempts = sorted(collector.named("attempt"), key=lambda span: span.began_ns)
    assert [(span.trace_id, span.parent_id) for span in attempts] == [(trace, request)] * 2
    assert [span.attributes["inkling.attempt"] for span in attempts] == [1, 2]
    assert [(span.is_error, span.attributes.get("error.type")) for span in attempts] == [
        (True, "killed"),
        (False, None),
    ]
    assert attempts[0].ended_ns <= attempts[1].began_ns
