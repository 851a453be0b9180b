"""The worker as a process: how it starts, what it hears of, how it ends."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

from app.services.sweep import NUDGE_AGAIN_AFTER_S
from tests.process_tree import is_alive
from tests.workers.conftest import ROOT, Bench, stop

MAIN = ("workers.main", "--watch-stdin")


def test_a_job_that_no_message_tells_of_is_run(bench: Bench) -> None:
    job_id = bench.job(nudged=False)
    bench.worker()
    assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"


def test_a_job_whose_message_was_lost_is_run(bench: Bench) -> None:
    job_id = bench.job()
    bench.celery.control.purge()  # the broker forgets everything
    bench.worker()
    took = time.monotonic()
    assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"
    assert time.monotonic() - took < NUDGE_AGAIN_AFTER_S + 10


def test_a_message_that_is_no_nudge_of_ours_harms_nobody(bench: Bench) -> None:
    worker = bench.worker()
    bench.celery.send_task("inkling.run_jobs", args=[{"no": "id"}])
    bench.celery.send_task("inkling.run_jobs", args=[])
    bench.celery.send_task("os.system", args=["true"])
    if not bench.settings.broker_url:
        (bench.settings.data_dir / "queue" / "messages" / "1.inkling.msg").write_text('{"half')
    job_id = bench.job()
    assert bench.until_status(job_id, "succeeded", "failed").status == "succeeded"
    assert worker.poll() is None


def test_a_worker_ends_soon_when_it_has_nothing_to_do(bench: Bench) -> None:
    worker = bench.worker()
    bench.until(lambda: "worker_ready" in bench.log())
    bench.until_status(bench.job(), "succeeded")
    status, took_s = stop(worker)
    assert status == 0
    assert took_s < 8


def test_workers_that_start_together_bring_the_schema_up_once(bench: Bench) -> None:
    for _ in range(3):
        bench.worker()
    for number in range(3):
        bench.until(lambda number=number: "worker_ready" in bench.log(number))  # type: ignore[misc]


def test_the_worker_that_ships_ends_when_its_input_does(bench: Bench) -> None:
    """`inkling up` holds the other end of the pipe; it may go by kill -9."""
    worker = bench.worker(MAIN)
    bench.until(lambda: "worker_ready" in bench.log())
    assert worker.poll() is None
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(20) == 0


def test_the_worker_that_ships_runs_without_watching_its_input(bench: Bench) -> None:
    worker = bench.worker(("celery", "-A", "workers.main", "worker", "--pool", "threads", "-c", "1"))
    assert worker.stdin is not None
    worker.stdin.close()
    bench.until(lambda: "worker_ready" in bench.log())
    time.sleep(1)
    assert worker.poll() is None
    assert stop(worker)[0] == 0


def test_input_that_ends_gives_a_running_job_back(bench: Bench) -> None:
    worker = bench.worker(("tests.workers.fake_worker",))
    job_id = bench.job(max_steps=500, step_s=0.05)
    bench.until_step(job_id, 3)
    pid = bench.trainer_pids(job_id)[0]
    assert worker.stdin is not None
    worker.stdin.close()
    assert worker.wait(30) == 0
    assert bench.row(job_id).status == "queued"
    assert not is_alive(pid)


def test_a_second_signal_leaves_nothing_behind(bench: Bench) -> None:
    worker = bench.worker()
    job_id = bench.job(max_steps=500, step_s=0.05)
    bench.until_step(job_id, 3)
    pid = bench.trainer_pids(job_id)[0]
    worker.send_signal(signal.SIGINT)
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    bench.until(lambda: not is_alive(pid), timeout_s=10)
    bench.worker()
    bench.until(lambda: bench.row(job_id).fence == 2)


def test_a_signal_does_not_interrupt_the_handling_of_another() -> None:
    """What Celery does for a signal takes locks that a handler in its midst would wait for without end."""
    code = """
import os, signal, threading, time
from workers.process import take_signals_one_by_one
lock, seen = threading.Lock(), []
def handle(number, frame):
    with lock:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        seen.append(number)
signal.signal(signal.SIGINT, handle)
signal.signal(signal.SIGTERM, handle)
take_signals_one_by_one()
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
print(seen == [signal.SIGINT])
"""
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert found.stdout.strip() == "True", found.stderr


def test_the_handlers_of_the_worker_are_taken_one_by_one(bench: Bench) -> None:
    worker = bench.worker()
    bench.until(lambda: "worker_ready" in bench.log())
    for _ in range(200):
        worker.send_signal(signal.SIGTERM)
        worker.send_signal(signal.SIGQUIT)
    worker.wait(60)


def test_a_worker_imports_no_torch_and_starts_quickly() -> None:
    began = time.monotonic()
    code = "import sys, workers.main; print([name for name in sys.modules if name.split('.')[0] in ('torch', 'numpy')])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
    assert time.monotonic() - began < 15
