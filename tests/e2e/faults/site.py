"""A whole service of one's own: PostgreSQL, Redis, a small disk, a server and workers, each a process to be killed."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import text

from app.db.session import UNAVAILABLE, Database
from app.db.tables import job
from app.db.tables.job import JobRow
from tests.e2e.conftest import ROOT, free_port
from tests.e2e.faults.servers import Postgres, Redis
from tests.process_tree import is_alive, running

FULL = os.environ.get("INKLING_TEST_FAULTS") == "full"  # set by `make proof-faults`
LEASE_S = 4.0
DISK = "64m"
STEPS = 600 if FULL else 400
CHECKPOINT_EVERY = 40 if FULL else 25
TOKENIZER = "tides"
NETWORK = {"preset": "gpt-tiny", "context_length": 32, "emb_dim": 32, "n_heads": 2, "n_layers": 1, "drop_rate": 0.1}
TRAIN = {
    "max_steps": STEPS,
    "checkpoint_every": CHECKPOINT_EVERY,
    "batch_size": 4,
    "context_length": 32,
    "learning_rate": 0.003,
    "eval_every": STEPS,
    "eval_batches": 1,
    "sample_every": STEPS,
    "sample_tokens": 4,
}


def times(small: int, full: int) -> int:
    """How often something is done, in an ordinary run and by `make proof-faults`."""
    return full if FULL else small


class Site:
    """The parts and the processes. `workers` and `server` are those that should be alive."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o711)  # for the user postgres, on the way to its own
        self._folder = folder
        self.data = folder / "data"
        self.data.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "inkling", str(self.data)]
        self.has_small_disk = subprocess.run(mount, capture_output=True, check=False).returncode == 0
        self.postgres = Postgres(folder / "postgres")
        self.redis = Redis(folder / "redis")
        self.database = Database(self.postgres.url)
        self.port = free_port()
        self.server: subprocess.Popen[bytes] | None = None
        self.workers: list[subprocess.Popen[bytes]] = []
        self._jobs = 0

    def open(self) -> None:
        """Start the server and two workers; make the tokenizer that all jobs use."""
        self.start()
        made = {"name": TOKENIZER, "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        self.call("POST", "/tokenizers", json=made)

    def close(self) -> None:
        for process in [*self.workers, *([self.server] if self.server else [])]:
            os.kill(process.pid, signal.SIGCONT)
            process.kill()
            process.wait()
        for pid in self.trainers():
            os.kill(pid, signal.SIGKILL)
        self.database.dispose()
        self.redis.stop()
        self.postgres.stop()
        if self.has_small_disk:
            subprocess.run(["umount", "--lazy", self.data], check=True)

    # Processes

    def start(self, workers: int = 2, **environment: str) -> None:
        """Start the server, with more in its environment, and so many workers; it serves afterwards."""
        self.start_server(**environment)
        for _ in range(workers):
            self.start_worker()
        self.until_it_serves()

    def stop(self) -> None:
        """End the server and all workers, by `kill -9`."""
        self.kill_server()
        for worker in list(self.workers):
            self.kill_worker(worker)

    def start_server(self, **environment: str) -> None:
        self.server = self._start("server", "app.cli", "serve", **environment)

    def start_worker(self, **environment: str) -> subprocess.Popen[bytes]:
        self.workers.append(self._start("worker", "workers.main", **environment))
        return self.workers[-1]

    def kill_server(self) -> None:
        assert self.server
        self.server.kill()
        self.server.wait()

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> None:
        worker.kill()
        worker.wait()
        self.workers.remove(worker)

    def worker_of(self, trainer: int) -> subprocess.Popen[bytes] | None:
        """The worker that started a trainer; None if either is gone."""
        try:
            parent = int(Path(f"/proc/{trainer}/stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            return None
        return next((worker for worker in self.workers if worker.pid == parent), None)

    def trainers(self, job_id: str = "") -> list[int]:
        """Trainers of this site at work, of one job or of all."""
        ours = f"INKLING_DATA_DIR={self.data}\0"
        return [pid for pid in running(f"-m workers.trainer {job_id}") if ours in _environment(pid)]

    def trainer(self, job_id: str) -> int:
        """The trainer of a job, once there is one."""
        return int(self.until(lambda: self.trainers(job_id))[0])

    def _start(self, name: str, *module: str, **environment: str) -> subprocess.Popen[bytes]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("INKLING_")}
        ours = {
            "INKLING_PORT": str(self.port),
            "INKLING_DATA_DIR": str(self.data),
            "INKLING_ASSETS_DIR": str(self._folder / "no-assets"),  # nothing is generated here
            "INKLING_DATABASE_URL": self.postgres.url,
            "INKLING_BROKER_URL": self.redis.url,
            "INKLING_LEASE_S": str(LEASE_S),
            "INKLING_JOB_ATTEMPTS": "20",  # the cap is for jobs that end their process; here it is us, and on purpose
            "INKLING_TRAIN_THREADS": "1",
            "INKLING_WORKER_DEVICES": "cpu",
        }
        with (self._folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *module],
                env=plain | ours | environment,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    # What is asked of the service

    def call(self, method: str, path: str, **request: Any) -> Any:
        answer = httpx.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=30, **request)
        assert answer.is_success, answer.text
        return answer.json()

    def queue_job(self) -> str:
        """The id of a new job; all of them train the same network on the same text with the same seed."""
        self._jobs += 1
        body = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": TOKENIZER, "seed": 7}
        made = self.call("POST", "/jobs", json=body | {"name": f"m{self._jobs}", "model": NETWORK, "train": TRAIN})
        return str(made["id"])

    def until_it_serves(self) -> None:
        """Wait for the server, which may have been killed; the default model is not needed here."""

        def answers() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{self.port}/jobs", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        self.until(answers)

    # What the database says

    def row(self, job_id: str) -> JobRow:
        with self.database.read() as session:
            row = job.get(session, job_id)
        assert row is not None, f"{job_id} is lost"
        return row

    def until_step(self, job_id: str, step: int) -> JobRow:
        """The job's row once it runs and came so far; a job that ended before has outrun the test."""

        def came() -> JobRow | None:
            row = self.row(job_id)
            assert not row.is_final, f"{job_id} {row.status} before the fault: {row.error}"
            return row if row.status == "running" and row.step >= step else None

        found: JobRow = self.until(came)
        return found

    def until_status(self, job_id: str, status: str) -> JobRow:
        def has() -> JobRow | None:
            row = self.row(job_id)
            assert row.status == status or not row.is_final, f"{job_id} {row.status}: {row.error}\n{self.logs()}"
            return row if row.status == status else None

        found: JobRow = self.until(has)
        return found

    def until(self, what: Callable[[], Any], timeout_s: float = 120) -> Any:
        """What `what` gives once it is true; a database that is away is none."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                if found := what():
                    return found
            except UNAVAILABLE:
                pass
            assert time.monotonic() < deadline, f"not within {timeout_s} s:\n{self.logs()}"
            time.sleep(0.02)

    def let_nudges_grow_old(self, seconds: float) -> None:
        """As if so long had passed since the workers were told of what is queued."""
        with self.database.write() as session:
            session.execute(text("UPDATE jobs SET nudged_at = nudged_at - :s WHERE status = 'queued'"), {"s": seconds})

    def logs(self) -> str:
        texts = {path.name: path.read_text()[-4000:] for path in self._folder.glob("*.log")}
        return "\n".join(f"--- {name}\n{told}" for name, told in texts.items())

    # The disk

    def fill_disk(self, trainer: int, leave_bytes: int) -> None:
        """Leave room for less than a checkpoint.

        Where nothing can be mounted, the kernel refuses the trainer all that is longer than that: the same refusal in
        the midst of a write, by another number.
        """
        if not self.has_small_disk:
            hard = resource.prlimit(trainer, resource.RLIMIT_FSIZE)[1]
            resource.prlimit(trainer, resource.RLIMIT_FSIZE, (leave_bytes, hard))
            return
        room = os.statvfs(self.data)
        size = room.f_bavail * room.f_frsize - leave_bytes
        with (self.data / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, size)

    def make_room(self) -> None:
        (self.data / "filler").unlink(missing_ok=True)


def _environment(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/environ").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def wait_until_gone(pid: int, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while is_alive(pid):
        assert time.monotonic() < deadline, f"{pid} lives on"
        time.sleep(0.02)
