"""What the holder of a claimed job writes: metrics, events, checkpoints, and how the job ends.

Every write first takes the job's row under the holder's fencing number. A holder that is stale (its lease ran out and
another took the job) writes nothing and is told to stop. Knows no torch, no broker, and not what a recipe does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from sqlalchemy.orm import Session

from app.db.session import UNAVAILABLE, Database
from app.db.tables import checkpoint, event, job, metric
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import Ending, JobRow
from app.db.tables.metric import MetricRow
from app.llm.errors import TrainingStopped
from app.log import get_logger
from app.services import webhook_outbox

log = get_logger(__name__)

FLUSH_EVERY_S = 0.5  # measured steps are written together: a small model takes hundreds a second
SHOWN_SAMPLE_CHARACTERS = 200
ASK_AGAIN_S = 0.5  # a database that is away


class Measured(Protocol):
    """One step's figures; `app.llm.train.loop.Report` is one. None where nothing was measured."""

    @property
    def step(self) -> int: ...
    @property
    def total_steps(self) -> int: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def train_loss(self) -> float | None: ...
    @property
    def val_loss(self) -> float | None: ...
    @property
    def learning_rate(self) -> float | None: ...
    @property
    def grad_norm(self) -> float | None: ...
    @property
    def tokens(self) -> int: ...
    @property
    def tokens_per_s(self) -> float | None: ...
    @property
    def data_share(self) -> float | None: ...
    @property
    def report_share(self) -> float | None: ...
    @property
    def seconds_left(self) -> float | None: ...
    @property
    def figures(self) -> Mapping[str, float]: ...


@dataclass(frozen=True)
class MachineUse:
    """What a step takes of its machine. None where it was not, or cannot be, measured."""

    memory_bytes: int | None = None  # resident; pages of mapped files among it
    device_memory_bytes: int | None = None  # that the trainer holds on its GPU
    peak_share: float | None = None  # of the measured peak of matrix products, from 0 to 1


UNREAD = MachineUse()


class Progress:
    """The pen of one attempt at a job. Used by one thread."""

    def __init__(
        self,
        database: Database,
        job_id: str,
        fence: int,
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = 0.0,
    ) -> None:
        """The pen for `job_id`, held under `fence`.

        Args:
            patience_s: how long a write waits for a database that is away; the lease says what makes sense.
        """
        self.job_id = job_id
        self.fence = fence
        self._database = database
        self._clock = clock
        self._patience_s = patience_s
        self._measured: list[tuple[float, Measured, MachineUse]] = []
        self._flushed_at = clock()

    def report(self, measured: Measured, use: MachineUse = UNREAD) -> None:
        """Record a step's figures (a metric row, an event, the job's step); written within about half a second.

        Raises:
            TrainingStopped: `lost`.
        """
        self._measured.append((time.time(), measured, use))
        if measured.val_loss is not None or self._clock() - self._flushed_at >= FLUSH_EVERY_S:
            self.flush()

    def message(self, text: str, *, level: str = "info", data: Mapping[str, Any] | None = None) -> None:
        """Record an event in words.

        Raises:
            TrainingStopped: `lost`.
        """
        with self.writing() as session:
            event.add(session, self.job_id, "message", text, level=level, data=dict(data or {}))

    def sample(self, step: int, text: str) -> None:
        """Record text that the model wrote.

        Raises:
            TrainingStopped: `lost`.
        """
        shown = " ".join(text.split())[:SHOWN_SAMPLE_CHARACTERS]
        with self.writing() as session:
            event.add(session, self.job_id, "sample", f"sample at step {step}: {shown}", data=_sample(step, text))

    def checkpoint(self, step: int, directory: str, size_bytes: int, sha256: str, metrics: Mapping[str, Any]) -> None:
        """List a checkpoint that is complete on disk, in the job's folder under the name `directory`.

        One of the same step that is listed already is replaced; it counts as the attempt's that made it first.

        Raises:
            TrainingStopped: `lost`.
        """
        with self.writing() as session:
            row = checkpoint.get(session, self.job_id, step)
            if row is None:
                attempt = self._held(session).attempt
                row = CheckpointRow(
                    id=f"{self.job_id}@{step}", job_id=self.job_id, step=step, attempt=attempt, fence=self.fence
                )
                session.add(row)
            row.path, row.size_bytes, row.sha256, row.metrics = directory, size_bytes, sha256, dict(metrics)
            data = {"step": step, "checkpoint": row.id, "size_bytes": size_bytes, **metrics}
            event.add(session, self.job_id, "checkpoint", f"checkpoint at step {step}", data=data)

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A write scope in which the job is held and what was reported so far is written.

        Raises:
            TrainingStopped: `lost`; nothing is written.
        """
        with self._begun() as begun:
            session, row = begun
            self._write_measured(session, row)
            yield session
        self._measured.clear()
        self._flushed_at = self._clock()

    def flush(self) -> None:
        """Write what was reported and is not written yet.

        Raises:
            TrainingStopped: `lost`.
        """
        with self.writing():
            pass

    def succeed(self, session: Session, model: str, checkpoint: str | None) -> None:
        """End the job well, in the `writing()` transaction that registers its model.

        Args:
            session: of `writing()`.
            model: the registered name.
            checkpoint: `job_id@step` of the last one kept.

        Raises:
            TrainingStopped: `lost`, or `cancelled`: who was told that a job is cancelled never sees it succeed.
        """
        row = self._held(session)
        if row.cancel_requested:
            raise TrainingStopped("cancelled")
        job.finish(row, Ending("succeeded", model=model, checkpoint=checkpoint))
        add_status(session, row, f"succeeded: model {model}", data={"model": model, "checkpoint": checkpoint})

    def fail(self, code: str, message: str, param: str | None = None) -> None:
        """End the job with an error that a person can act upon; one that was to be cancelled is that, and says so.

        Raises:
            TrainingStopped: `lost`.
        """
        error = {"code": code, "message": message, "param": param}
        with self.writing() as session:
            row = self._held(session)
            job.finish(row, Ending("cancelled" if row.cancel_requested else "failed", error))
            add_status(session, row, f"{row.status}: {message}", data={"error": error})

    def pause(self, code: str, message: str, param: str | None = None) -> None:
        """Lay the job aside until a person has seen to what keeps it from going on; one to be cancelled is that,
        unless a model is to be kept of it: it is made when the job is resumed.

        Raises:
            TrainingStopped: `lost`.
        """
        error = {"code": code, "message": message, "param": param}
        with self.writing() as session:
            row = self._held(session)
            if row.cancel_requested and not row.keep_model:
                job.finish(row, Ending("cancelled"))
                add_status(session, row, f"cancelled at step {row.step}")
            else:
                job.pause(row, error)
                add_status(session, row, f"paused at step {row.step}: {message}", data={"error": error})

    def cancel(self) -> None:
        """End the job as cancelled.

        Raises:
            TrainingStopped: `lost`.
        """
        with self.writing() as session:
            row = self._held(session)
            job.finish(row, Ending("cancelled"))
            add_status(session, row, f"cancelled at step {row.step}")

    def cancel_with(self, session: Session, model: str, checkpoint: str) -> None:
        """End the job as cancelled, in the `writing()` transaction that registers a checkpoint of it as its model.

        Raises:
            TrainingStopped: `lost`.
        """
        row = self._held(session)
        job.finish(row, Ending("cancelled", model=model, checkpoint=checkpoint))
        told = f"cancelled at step {row.step}; model {model} is its checkpoint {checkpoint}"
        add_status(session, row, told, data={"model": model, "checkpoint": checkpoint})

    def release(self, why: str) -> None:
        """Let go of the job: cancelled or paused where that was asked, else back in the queue, and `why`.

        Raises:
            TrainingStopped: `lost`.
        """
        with self.writing() as session:
            row = self._held(session)
            job.release(row)
            told = f"back in the queue at step {row.step}: {why}"
            add_status(session, row, told if row.status == "queued" else f"{row.status} at step {row.step}")

    @contextmanager
    def _begun(self) -> Iterator[tuple[Session, JobRow]]:
        """A write scope with the job's row held. Training stands still while the database is away, and then goes on."""
        until = self._clock() + self._patience_s
        with ExitStack() as scope:
            while True:
                try:
                    with ExitStack() as opening:
                        session = opening.enter_context(self._database.write())
                        row = self._held(session)
                        scope.enter_context(opening.pop_all())
                    break
                except UNAVAILABLE as error:
                    if self._clock() >= until:
                        raise
                    log.warning("database_away", job_id=self.job_id, error=str(error))
                    time.sleep(ASK_AGAIN_S)
            yield session, row

    def _held(self, session: Session) -> JobRow:
        row = job.hold(session, self.job_id, self.fence)
        if row is None:
            raise TrainingStopped("lost")
        return row

    def _write_measured(self, session: Session, row: JobRow) -> None:
        if not self._measured:
            return
        rows = [_metric_row(self.job_id, *each) for each in self._measured]
        metric.store(session, self.job_id, rows)
        for metric_row, (_, measured, _) in zip(rows, self._measured, strict=True):
            event.add(session, self.job_id, "metrics", _in_words(measured), data=metric_values(metric_row))
        newest = self._measured[-1][1]
        row.step, row.total_steps = newest.step, newest.total_steps


def add_status(session: Session, row: JobRow, message: str, *, data: Mapping[str, Any] | None = None) -> None:
    """Record that a locked job changed its state, as an event; have its end told to its webhook, too."""
    level = {"failed": "error", "cancelled": "warn", "paused": "warn"}.get(row.status, "info")
    event.add(session, row.id, "status", message, level=level, data={"status": row.status, **(data or {})})
    if row.is_final:
        webhook_outbox.announce(session, row)


def metric_values(row: MetricRow) -> dict[str, Any]:
    """A metrics row as the wire shows it."""
    return {name: getattr(row, name) for name in metric.FIELDS}


def _metric_row(job_id: str, moment: float, measured: Measured, use: MachineUse) -> MetricRow:
    return MetricRow(
        job_id=job_id,
        step=measured.step,
        created_at=moment,
        loss=measured.loss,
        train_loss=measured.train_loss,
        val_loss=measured.val_loss,
        learning_rate=measured.learning_rate,
        grad_norm=measured.grad_norm,
        tokens=measured.tokens,
        tokens_per_s=measured.tokens_per_s,
        data_share=measured.data_share,
        report_share=measured.report_share,
        seconds_left=measured.seconds_left,
        figures=dict(measured.figures) or None,
        **asdict(use),
    )


def _in_words(measured: Measured) -> str:
    parts = [f"step {measured.step} of {measured.total_steps}"]
    if measured.loss is not None:
        parts.append(f"loss {measured.loss:.4f}")
    if measured.train_loss is not None:
        parts.append(f"training loss {measured.train_loss:.4f}")
    if measured.val_loss is not None:
        parts.append(f"validation loss {measured.val_loss:.4f}")
    parts += [f"{name} {value:.4f}" for name, value in measured.figures.items()]
    return ", ".join(parts)


def _sample(step: int, text: str) -> dict[str, Any]:
    return {"step": step, "text": text}
