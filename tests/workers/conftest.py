"""Real worker processes on a real broker and database, with a trainer that only waits."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.config import Settings
from app.db.migrate import migrate
from app.db.session import Database
from app.db.tables import event, job
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.services.queue import Nudger, make_celery
from tests.jobs_made import queued

ROOT = Path(__file__).resolve().parents[2]
PLAIN = ("celery", "-A", "tests.workers.fake_worker", "worker", "--pool", "threads", "-c", "1")


class Bench:
    """A database, a broker, and the worker processes that a test starts on them."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.database = Database(settings.effective_database_url)
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        migrate(self.database)
        self.celery = make_celery(settings)
        self.nudger = Nudger(self.celery)
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
        chosen = self.settings
        return plain | {
            "INKLING_DATA_DIR": str(chosen.data_dir),
            "INKLING_DATABASE_URL": chosen.database_url,
            "INKLING_BROKER_URL": chosen.broker_url,
            "INKLING_LEASE_S": str(chosen.lease_s),
            "INKLING_WORKER_DEVICES": chosen.worker_devices,
            "INKLING_LOG_LEVEL": "info",
            "INKLING_OTLP_ENDPOINT": chosen.otlp_endpoint,
        }

    def worker(self, command: tuple[str, ...] = PLAIN) -> subprocess.Popen[bytes]:
        with (self._folder / f"worker-{len(self._workers)}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                env=self.environment(),
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._workers.append(process)
        return process

    def log(self, number: int = 0) -> str:
        return (self._folder / f"worker-{number}.log").read_text()

    def job(self, *, nudged: bool = True, **train: Any) -> str:
        job_id = queued(self.database, train={"max_steps": 10} | train)
        if nudged:
            self.nudger.send(job_id)
        return job_id

    def row(self, job_id: str) -> JobRow:
        with self.database.read() as session:
            row = job.get(session, job_id)
            assert row is not None
            return row

    def events(self, job_id: str, *types: str) -> list[EventRow]:
        with self.database.read() as session:
            return [one for one in event.of_job(session, job_id, 0, 10_000) if not types or one.type in types]

    def until(self, what: Callable[[], Any], timeout_s: float = 60) -> Any:
        """What `what` gives once it is true."""
        deadline = time.monotonic() + timeout_s
        while not (found := what()):
            logs = "\n".join(self.log(number) for number in range(len(self._workers)))
            assert time.monotonic() < deadline, f"not within {timeout_s} s:\n{logs}"
            time.sleep(0.05)
        return found

    def until_status(self, job_id: str, *statuses: str, timeout_s: float = 60) -> JobRow:
        self.until(lambda: self.row(job_id).status in statuses, timeout_s)
        return self.row(job_id)

    def until_step(self, job_id: str, step: int) -> None:
        self.until(lambda: self.row(job_id).step >= step)

    def trainer_pids(self, job_id: str) -> list[int]:
        """Of each attempt's trainer, in order."""
        return [int(one.message.split()[1]) for one in self.events(job_id, "message")]

    def close(self) -> None:
        for process in self._workers:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
        self.celery.close()
        self.database.dispose()


def stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> tuple[int, float]:
    """Send a signal; the exit status, and how long it took."""
    began = time.monotonic()
    process.send_signal(number)
    return process.wait(60), time.monotonic() - began


@pytest.fixture(params=["embedded", pytest.param("stack", marks=pytest.mark.services)])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """The embedded default, and PostgreSQL with Redis."""
    chosen: dict[str, str] = {"database_url": "", "broker_url": ""}
    if request.param == "stack":
        chosen["database_url"] = request.getfixturevalue("postgres_url")
        chosen["broker_url"] = request.getfixturevalue("redis_url")
    made = Bench(Settings(_env_file=None, data_dir=tmp_path / "data", lease_s=3, host="127.0.0.1", **chosen), tmp_path)
    yield made
    made.close()
