"""A trainer without a network, for tests of what surrounds it: the same watch, the same writes, steps that only wait.

The job's `train` says what it does: `max_steps`, `step_s`, `checkpoint_every`, and what befalls it: `die_at` (with the
status `die_with`, or by `die_by`), `hang_at` (asks no more whether to stop), `freeze_at` (is stopped as by SIGSTOP, in
the midst of a write), `begin_after_s` (is not heard of before).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from app.config import get_settings
from app.db.session import Database
from app.db.tables import checkpoint, job
from app.llm.errors import TrainingStopped
from app.services.progress import Progress
from workers.watch import Watch


@dataclass(frozen=True)
class Report:
    step: int
    total_steps: int
    loss: float | None
    train_loss: float | None = None
    val_loss: float | None = None
    learning_rate: float | None = 0.1
    grad_norm: float | None = 1.0
    tokens: int = 0
    tokens_per_s: float | None = None
    data_share: float | None = None
    report_share: float | None = None
    seconds_left: float | None = None
    figures: dict[str, float] = field(default_factory=dict)


def main() -> None:
    job_id, fence = sys.argv[1], int(sys.argv[2])
    settings = get_settings()
    database = Database(settings.effective_database_url)
    with database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
    time.sleep(row.train.get("begin_after_s", 0))
    watch = Watch(database, job_id, fence, settings.lease_s)
    if not watch.start():
        sys.exit(9)
    progress = Progress(database, job_id, fence)
    with database.read() as session:
        row = job.get(session, job_id)
        assert row is not None
        newest = checkpoint.of_job(session, job_id)
    start = newest[0].step if newest else 0
    try:
        steps(progress, watch, start, row.attempt, dict(row.train))
    except TrainingStopped as stopped:
        if stopped.reason == "cancelled":
            progress.cancel()
    watch.end()


def steps(progress: Progress, watch: Watch, start: int, attempt: int, train: dict[str, Any]) -> None:
    total = train["max_steps"]
    progress.message(f"pid {os.getpid()} starts at {start}")
    for step in range(start, total + 1):
        reason = watch.should_stop()
        if reason in ("shutdown", "paused"):
            save(progress, step)
            progress.release(reason)
        if reason:
            raise TrainingStopped(reason)
        if step > start:
            progress.report(Report(step, total, loss=1 / step))
            progress.flush()
            if step % train.get("checkpoint_every", 1000) == 0:
                save(progress, step)
        befall(progress, train, step, attempt)
        time.sleep(train.get("step_s", 0.02))
    with progress.writing() as session:
        progress.succeed(session, "made-by-a-fake", None)


def save(progress: Progress, step: int) -> None:
    progress.checkpoint(step, f"step-{step}-fence-{progress.fence}", 1, "0" * 64, {"loss": 1.0})


def befall(progress: Progress, train: dict[str, Any], step: int, attempt: int) -> None:
    if train.get("die_at") == step and attempt <= train.get("die_attempts", 1000):
        if "die_with" in train:
            os._exit(train["die_with"])
        os.kill(os.getpid(), train.get("die_by", signal.SIGKILL))
    if train.get("hang_at") == step and attempt == 1:
        time.sleep(3600)
    if train.get("freeze_at") == step and attempt == 1:
        with progress.writing():
            os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main()
