"""Runs one claimed job to its end, in the process that was started for it.

Every write goes through `Progress` and so carries the fence: an attempt that lost its job changes nothing any more.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from sqlalchemy.exc import DBAPIError

from app.db.session import is_disk_full
from app.db.tables import checkpoint as checkpoint_table
from app.db.tables import job as job_table
from app.db.tables.job import JobRow
from app.errors import AppError, NoDiskSpace
from app.llm import progress as encoding
from app.llm.checkpoint import ModelMeta, Network
from app.llm.errors import BadConfig, LLMError, TrainingDiverged, TrainingStopped, UnknownToken
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, Task, TrainState, train
from app.llm.train.peak import matrix_product_peak
from app.llm.train.ranks import ALONE, Ranks
from app.log import get_logger
from app.services import (
    adapting,
    attempt_words,
    batch_rows,
    compiling,
    evaluating,
    made_models,
    sharding,
    tracing,
    train_devices,
)
from app.services.checkpoints import Checkpoints
from app.services.corpus import Encoder
from app.services.leases import SHUTTING_DOWN
from app.services.machine_use import Gauge
from app.services.progress import Progress
from app.services.recipe import Finished, Run
from app.services.recipes import RECIPES
from app.services.runtime import Runtime

log = get_logger(__name__)

RELEASED = {"shutdown": SHUTTING_DOWN, "paused": "it was to be paused, and then to go on"}
"""Reasons to stop that leave a checkpoint, and why the job is in the queue again, where it is."""

REPORTED_STEPS = 5_000
"""About so many steps of a run are recorded; each has a row and an event for ever."""
REPORT_AT_LEAST_EVERY_S = 2.0
ENCODING_TOLD_EVERY_S = 5.0


class Diverged(AppError):
    """The loss or the gradient is no number any more, or the validation loss rose too far."""

    status = 409
    code = "training_diverged"
    type = "conflict_error"


def run(
    runtime: Runtime, job_id: str, fence: int, *, should_stop: Callable[[], str | None], ranks: Ranks = ALONE
) -> None:
    """Train, or go on training, the job that is held under `fence`; its row says afterwards how it ended.

    It succeeds with a registered model, fails with an error to act upon, is cancelled, is paused, or goes back to the
    queue, both with a last checkpoint; nothing is written where it is not ours any more.

    Args:
        should_stop: asked often; why to end soon (`cancelled`, `paused`, `lost`, `shutdown`), or None.
        ranks: this process, the first, among those that train the job; the others run `following.follow`.

    Raises:
        Exception: something that is no fault of the job; the caller's worker tries again.
    """
    progress = Progress(runtime.database, job_id, fence, patience_s=runtime.settings.lease_s)
    try:
        _run(runtime, progress, should_stop, ranks)
    except TrainingStopped as stopped:  # while it was being ended, too
        log.warning("job_lost", job_id=job_id, fence=fence, reason=stopped.reason)


def _run(runtime: Runtime, progress: Progress, should_stop: Callable[[], str | None], ranks: Ranks) -> None:
    try:
        try:
            if evaluating.is_wanted(runtime, progress.job_id):
                evaluating.run(runtime, progress, should_stop)
            else:
                _Attempt(runtime, progress, should_stop, ranks).run()
        except TrainingStopped as stopped:
            if stopped.reason == "cancelled":
                _cancel(runtime, progress)
            elif stopped.reason in RELEASED:
                progress.release(RELEASED[stopped.reason])
            else:
                raise
    except (AppError, LLMError, MemoryError, OSError, RuntimeError, DBAPIError) as error:
        failure = _failure(error)
        if failure is None:
            raise
        tracing.fail(failure[0])
        log.warning("job_failed", job_id=progress.job_id, code=failure[0], exc_info=error)
        if failure[0] == NoDiskSpace.code:  # no fault of the job's, and soon mended
            progress.pause(*failure)
        else:
            progress.fail(*failure)


@dataclass(frozen=True)
class _Prepared:
    """An attempt that can begin."""

    run: Run
    task: Task
    meta: ModelMeta
    device: torch.device
    resume: TrainState | None


class _Attempt:
    """One attempt at one job; what the loop calls back."""

    def __init__(
        self, runtime: Runtime, progress: Progress, should_stop: Callable[[], str | None], ranks: Ranks
    ) -> None:
        self._runtime, self._progress, self._should_stop, self._ranks = runtime, progress, should_stop, ranks
        self._job, self._encoder = opened(runtime, progress.job_id, self._tell_encoding)
        self._recipe = RECIPES[self._job.recipe]
        self._config = self._recipe.read_config(self._job.train)
        self._checkpoints = Checkpoints(runtime.database, runtime.storage, progress, self._config)
        self._network: tuple[Network, ModelMeta] | None = None
        self._reported_at = 0.0
        self._told_at = time.monotonic()
        self._gauge = Gauge(torch.device("cpu"), None, None)

    def run(self) -> None:
        """Train to the end and register the model."""
        prepared: list[_Prepared] = []

        def prepare() -> float | None:
            prepared.append(self._prepare())
            resume = prepared[0].resume
            return resume.report.step if resume else None

        with self._runtime.tracing.span("prepare", recipe=self._job.recipe):
            self._ranks.led(prepare)  # the others come after, from the same step, and find the texts encoded
        run, resume = prepared[0].run, prepared[0].resume
        ranks = sharding.agreed(self._ranks, lambda: self._started(prepared[0]))
        try:
            report = train(prepared[0].task, run.config, self, resume=resume, ranks=ranks, around=self._around)
        except TrainingDiverged as error:
            raise self._told(error, run) from error
        said, data = attempt_words.end(run, report)
        self._progress.message(said, data=data)
        with self._runtime.tracing.span("finish"):
            self._finish(Finished(None, prepared[0].meta) if run.finish is None else self._measured(run.finish))

    def _around(self, part: str, step: int) -> AbstractContextManager[object]:
        return self._runtime.tracing.span(part, step=step)

    def _prepare(self) -> _Prepared:
        device = train_devices.take(self._job, self._runtime.settings, self._ranks.here)
        if self._config.compile:
            compiling.check(device.type)
        self.check()
        resumed = self._checkpoints.resume()
        if resumed is None:
            made = self._recipe.make_network(self._runtime, self._job, self._encoder)
            model, meta = adapting.begun(self._runtime, self._config.lora, *made)
        else:
            model, meta = adapting.resumed(self._runtime, *resumed[:2]), resumed[1]
        self.check()
        model.to(device)
        self._network = (model, meta)
        run = self._recipe.make_run(self._runtime, self._job, self._encoder, model, meta, self.check)
        task = train_devices.part_of(run, self._ranks)
        flops = run.flops_per_token
        if run.config.precision == "bfloat16" and train_devices.lacks_bfloat16(device):
            told = "this processor emulates bfloat16, which is far slower than float32: duplicate the job with that"
            self._progress.message(told, level="warn", data={"param": "train.precision"})
        peak = None if flops is None else self._ranks.count * matrix_product_peak(device, run.config.precision)
        self._gauge = Gauge(device, flops, peak)
        return _Prepared(run, task, meta, device, resumed[2] if resumed else None)

    def check(self) -> None:
        reason = self._should_stop()
        if reason is not None:
            raise TrainingStopped(reason)

    def on_report(self, report: Report) -> None:
        now = time.monotonic()
        every = -(-report.total_steps // REPORTED_STEPS)
        is_due = report.step % every == 0 or now - self._reported_at >= REPORT_AT_LEAST_EVERY_S
        if is_due or report.val_loss is not None:
            self._reported_at = now
            self._progress.report(report, self._gauge.read(report.tokens_per_s))

    def on_sample(self, step: int, text: str) -> None:
        self._progress.sample(step, text)

    def on_early_stop(self, best: Best) -> None:
        step, waited = best.counted_step, f"{best.worse} evaluations brought nothing better"
        self._progress.message(
            f"stops early, at step {step}: {waited} than the validation loss {best.val_loss:.4f} of step {best.step}",
            data={"step": step, "best_step": best.step, "best_val_loss": best.val_loss, "evaluations": best.worse},
        )

    def on_checkpoint(self, state: TrainState) -> None:
        assert self._network is not None, "the loop runs only once there is a network"
        self._checkpoints.save(*self._network, state)

    def _tell_encoding(self, done: encoding.Progress) -> None:
        if time.monotonic() - self._told_at >= ENCODING_TOLD_EVERY_S:
            self._told_at = time.monotonic()
            self._progress.message(str(done), data={"done": done.done, "total": done.total})

    def _started(self, prepared: _Prepared) -> bool:
        """Tell that it begins; whether the network is to be divided."""
        run, device, count = prepared.run, prepared.device, self._ranks.count
        is_sharded = sharding.is_to_be(run.config, prepared.meta, device, self._ranks)
        said, data = attempt_words.beginning(run, prepared.resume, self._gauge, device, count, is_sharded)
        self._progress.message(said, data=data)
        return is_sharded

    def _told(self, error: TrainingDiverged, run: Run) -> Diverged:
        """The error with the rows that it came of, which stand in an event as well."""
        rows = run.data.rows_of(error.batches)
        told = f"{error}. Its batch: {batch_rows.in_words(rows)}" if rows else str(error)
        data = {"step": error.step, "cause": error.cause, "batches": error.batches, "rows": batch_rows.as_data(rows)}
        self._progress.message(told, level="error", data=data)
        return Diverged(told, param="train.learning_rate")

    def _measured(self, finish: Callable[[Callable[[], None]], Finished]) -> Finished:
        with torch.no_grad():
            return finish(self.check)

    def _finish(self, done: Finished) -> None:
        """Register the last checkpoint's network as a model, and end the job, in one transaction."""
        job, storage = self._job, self._runtime.storage
        assert self._checkpoints.newest is not None, "the loop saves at its end"
        step, checkpoint = self._checkpoints.newest
        staged = made_models.staged(storage, job, self._progress.fence, checkpoint, done.meta)
        with staged as made, self._progress.writing() as session:
            made_models.add(session, job, made, done.report)
            self._progress.succeed(session, job.name, f"{job.id}@{step}")
            session.flush()
            made_models.put_in_place(storage, job, made)


def _cancel(runtime: Runtime, progress: Progress) -> None:
    """End the job as cancelled; its last checkpoint becomes a model first, where that was asked and there is one."""
    with runtime.database.read() as session:
        job = job_table.get(session, progress.job_id)
        rows = checkpoint_table.of_job(session, progress.job_id)
    found = made_models.newest_whole(runtime.storage, rows) if job is not None and job.keep_model else None
    if job is None or found is None:
        progress.cancel()
        return
    row, meta = found
    folder = runtime.storage.checkpoint(job.id, row.path)
    staged = made_models.staged(runtime.storage, job, progress.fence, folder, meta)
    with staged as made, progress.writing() as session:
        made_models.add(session, job, made)
        progress.cancel_with(session, job.name, row.id)
        session.flush()
        made_models.put_in_place(runtime.storage, job, made)


def opened(runtime: Runtime, job_id: str, tell: encoding.Tell = encoding.silent) -> tuple[JobRow, Encoder]:
    """The job, and what encodes its texts.

    Raises:
        TrainingStopped: it was deleted.
        AppError: its tokenizer is not there any more.
    """
    with runtime.database.read() as session:
        row = job_table.get(session, job_id)
        if row is None:
            raise TrainingStopped("lost")
        tokenizer = runtime.tokenizers.get(session, row.tokenizer, param="tokenizer")
        return row, Encoder.of(session, row.tokenizer, tokenizer, tell)


def _failure(error: Exception) -> tuple[str, str, str | None] | None:
    """Code, message and field of an error that another attempt would meet again; None for any other."""
    match error:
        case AppError():
            return error.code, error.message, error.param
        case UnknownToken():
            return "unknown_word", f"the tokenizer does not know a word of the text: {error}", "tokenizer"
        case BadConfig():
            return "invalid_value", str(error), error.field
        case LLMError():
            return "unusable_data", str(error), None
    if (full := _full(error)) is not None:
        told = f"{full}; make room and resume it: it goes on from its last checkpoint, which is whole"
        return NoDiskSpace.code, told, None
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "out_of_memory", f"the job needs more memory than there is: {str(error)[:300]}", "train.batch_size"
    return None


def _full(error: Exception) -> str | None:
    """What has no room, if that is the error."""
    if is_disk_full(error):
        return "the database's disk is full"
    match error:
        case OSError(errno=errno.ENOSPC | errno.EDQUOT):
            return "the disk is full"
        case OSError(errno=errno.EFBIG):
            return "a file was too large for a limit"
    return None
