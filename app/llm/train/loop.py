"""The only training loop, and the only place that calls `backward()`.

It knows steps, the optimizer, and when something is due; a recipe brings the loss, callbacks take what comes out.
No file, no database, no text.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from app.llm.errors import BadCheckpoint, TrainingStopped
from app.llm.train.config import LoopConfig
from app.llm.train.divergence import check_validation, clipped, mean_loss_of
from app.llm.train.early_stop import Best
from app.llm.train.optimizer import make_optimizer, optimizer_state, restore_optimizer
from app.llm.train.pace import Pace, Part, times_due
from app.llm.train.ranks import ALONE, Ranks
from app.llm.train.schedule import learning_rate


@dataclass(frozen=True)
class Report:
    """What was measured once `step` updates were done; None where nothing was.

    `loss` is that of the last update's batches, their mean, before the update; `tokens` counts all seen so
    far; `train_loss` is of training batches in evaluation mode, as `val_loss` is of others.
    `tokens_per_s` and the shares are of the time from the end of the update before, with reporting and loading,
    without evaluation, sample and checkpoint; `seconds_left` has all of that.
    """

    step: int
    total_steps: int
    loss: float | None = None
    train_loss: float | None = None
    val_loss: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    tokens: int = 0
    tokens_per_s: float | None = None
    data_share: float | None = None  # from 0 to 1
    report_share: float | None = None
    seconds_left: float | None = None  # if it does not end early
    figures: Mapping[str, float] = field(default_factory=dict)  # the recipe's own, of an evaluation at this step


@dataclass(frozen=True)
class TrainState:
    """A run between two steps: with the model's weights, enough to go on with the very numbers it would have had.

    Holds the living tensors, not copies: use it before the callback returns.
    """

    report: Report
    optimizer: Mapping[str, Tensor]  # "<parameter>.exp_avg", "….exp_avg_sq", "….step"
    rng: Mapping[str, Tensor]
    """The generators' states, by device, and by name those of the task; with ".1" and so on other processes'."""
    best: Best = field(default_factory=Best)


class Task(Protocol):
    """What a recipe hands to the loop."""

    @property
    def model(self) -> nn.Module: ...

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        """Those that are the task's own, by name: their states are saved and restored with the run."""

    def batch(self, number: int) -> Any:
        """The run's batch `number` (from 0), a function of that number, on the model's device; `loss` takes it."""

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        """The mean loss of a batch, a scalar with a gradient, and how many tokens were read."""

    def training_loss(self, check: Callable[[], None]) -> float | None:
        """Mean loss over some training batches, which changes no generator; None where that is not measured."""

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        """Mean loss over the validation batches; None where there are none. Calls `check` between batches."""

    def sample(self, check: Callable[[], None]) -> str:
        """Text that the model writes now. Calls `check` between tokens."""

    @property
    def figures(self) -> Mapping[str, float]:
        """The recipe's own figures, by name, of what was measured last; asked for after each evaluation."""


class Callbacks(Protocol):
    """Who listens. Any of these may raise TrainingStopped."""

    def check(self) -> None:
        """Called often, to end a run soon."""

    def on_report(self, report: Report) -> None:
        """After each update, and before the first."""

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: Best) -> None:
        """Once, when the evaluations are enough: the run ends with this step."""

    def on_checkpoint(self, state: TrainState) -> None:
        """When the state should be saved: as often as configured, at the end, and before a shutdown or a pause."""


Around = Callable[[Part, int], AbstractContextManager[object]]
"""Entered while something is done at a step between two updates, for whoever follows the run."""


def train(
    task: Task,
    config: LoopConfig,
    callbacks: Callbacks,
    resume: TrainState | None = None,
    clock: Callable[[], float] = time.perf_counter,
    ranks: Ranks = ALONE,
    around: Around = lambda _part, _step: nullcontext(),
) -> Report:
    """Run `config.max_steps` updates of the weights that require a gradient, or what is left of them.

    Update number s takes the mean gradient of the batches s * accumulate to (s + 1) * accumulate - 1. Between two
    updates everything due at that step is done: evaluation, report, sample, checkpoint. A resumed run begins with
    what was due at its checkpoint, so that nothing is missing if it ended in the midst of that.

    Args:
        task: model, losses and samples; the model already holds the weights of `resume`.
        config: with `max_steps` set.
        resume: of a checkpoint of the same run.
        clock: seconds, for the times reported.
        ranks: this process among those that train together. Each has a task whose batches are its part of the run's;
            only those of the first, which leads, are asked to measure and to sample, and only its callbacks are called.
        around: entered while the run evaluates, samples and saves.

    Returns:
        The last report.

    Raises:
        TrainingStopped: a callback said so; where the reason is `shutdown` or `paused`, after a last `on_checkpoint`,
            of the last update that is whole.
        TrainingDiverged: the loss or the gradient is no number any more, and the weights are those before; or the
            validation loss is none, or rose by more than `config.max_rise`.
        BadCheckpoint: `resume` does not fit the model.
    """
    run = _Run(task, config, callbacks, Pace(clock), ranks, around)
    if resume is not None:
        run.restore(resume)
    try:
        run.go()
    except TrainingStopped as stopped:
        if stopped.reason in ("shutdown", "paused"):
            run.save()
        raise
    return run.report


class _Run:
    """One call of `train`."""

    def __init__(
        self, task: Task, config: LoopConfig, callbacks: Callbacks, pace: Pace, ranks: Ranks, around: Around
    ) -> None:
        if config.max_steps is None:
            raise ValueError("the loop counts steps: give config.max_steps")
        self._task, self._config, self._callbacks = task, config, callbacks
        self._pace, self._around = pace, around
        self._ranks, self._loss = ranks, ranks.loss_of(task)
        self._total = config.max_steps
        self._learning = {name: p for name, p in task.model.named_parameters() if p.requires_grad}
        self._device = next(iter(self._learning.values())).device
        self._optimizer = make_optimizer(list(self._learning.values()), config)
        self.report = Report(step=0, total_steps=self._total)
        self._best = Best()

    def go(self) -> None:
        self._task.model.train()
        self._do_what_is_due()
        while not self._is_over:
            self._update()
            self._do_what_is_due()

    @property
    def _is_over(self) -> bool:
        step = self.report.step
        return step == self._total or (step > 0 and self._best.is_enough(self._config.patience))

    def state(self) -> TrainState:
        tensors = self._ranks.whole(optimizer_state(self._optimizer, self._learning))
        own = {name: generator.get_state() for name, generator in self._task.generators.items()}
        generators = self._ranks.gathered(_rng_states(self._device) | own)
        return TrainState(self.report, tensors, generators, self._best)

    def save(self) -> None:
        with self._aside("checkpoint"):
            state = self.state()
            with self._ranks.with_weights():
                self._ranks.led(lambda: self._callbacks.on_checkpoint(state))

    @contextmanager
    def _aside(self, part: Part) -> Iterator[None]:
        with self._pace.timing(part), self._around(part, self.report.step):
            yield

    def restore(self, resume: TrainState) -> None:
        """Take over step, optimizer and generators of a checkpoint.

        Raises:
            BadCheckpoint: the optimizer's tensors are not those of the weights that learn, or a generator is missing.
        """
        self.report, self._best = resume.report, resume.best
        rng = self._ranks.own(resume.rng)
        _restore_rng(rng, self._device)
        for name, generator in self._task.generators.items():
            if name not in rng:
                raise BadCheckpoint(f"the state of the generator {name!r} is missing")
            generator.set_state(rng[name])
        if resume.report.step == 0:
            return  # the optimizer has nothing to remember yet
        restore_optimizer(self._optimizer, self._learning, resume.optimizer, self._ranks.part)

    def _update(self) -> None:
        """One step of the optimizer."""
        config, step = self._config, self.report.step
        rate = learning_rate(
            step,
            total_steps=self._total,
            peak=config.learning_rate,
            minimum=config.min_learning_rate,
            warmup_steps=config.warmup_steps,
            initial=config.min_learning_rate,
        )
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.zero_grad()
        numbers = range(step * config.accumulate, (step + 1) * config.accumulate)
        losses, tokens = self._gradient(numbers)
        loss = mean_loss_of(losses, step + 1, numbers)
        gradient_norm = clipped(self._learning, config.grad_clip, step + 1, numbers, self._ranks.norm)
        self._optimizer.step()
        lap = self._pace.lap()
        self.report = Report(
            step=step + 1,
            total_steps=self._total,
            loss=loss,
            learning_rate=rate,
            grad_norm=gradient_norm,
            tokens=self.report.tokens + tokens,
            tokens_per_s=tokens / lap.seconds,
            data_share=lap.data_share,
            report_share=lap.report_share,
            seconds_left=self._seconds_left(step + 1),
        )

    def _seconds_left(self, step: int) -> float | None:
        config, total = self._config, self._total
        return self._pace.seconds_left(
            total - step,
            {
                "evaluation": times_due(step, total, config.eval_every, config.checkpoint_every),
                "sample": times_due(step, total, config.sample_every),
                "checkpoint": times_due(step, total, config.checkpoint_every),
            },
        )

    def _gradient(self, numbers: range) -> tuple[list[Tensor], int]:
        """Have the weights hold the mean gradient of the batches `numbers`; the loss of each, and the tokens read.

        Raises:
            TrainingStopped: between two batches; the generators stand again where the update began.
        """
        before = _rng_states(self._device) if len(numbers) > 1 else {}
        losses: list[Tensor] = []
        tokens = 0
        for number in numbers:
            if losses:
                try:
                    self._check()
                except TrainingStopped:
                    _restore_rng(before, self._device)
                    raise
            with self._pace.timing("data"):
                batch = self._task.batch(number)
            is_last = len(losses) + 1 == len(numbers)
            with nullcontext() if is_last else self._ranks.apart():
                with self._autocast():
                    loss, read = self._loss(batch)
                (loss / len(numbers)).backward()  # type: ignore[no-untyped-call]  # torch has no types here
            losses.append(loss.detach())
            tokens += read
        return self._ranks.of_all(losses, tokens)

    def _autocast(self) -> torch.autocast:
        """In which the network runs; weights, their gradients and the optimizer know nothing of it."""
        is_mixed = self._config.precision == "bfloat16"
        return torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=is_mixed)

    def _do_what_is_due(self) -> None:
        config, step = self._config, self.report.step
        self._check()
        # A checkpoint is judged by its validation loss.
        is_due = self._is_due(config.eval_every, config.eval_offset) or (
            step > 0 and self._is_due(config.checkpoint_every)
        )
        value = self._evaluate() if is_due else None
        with self._pace.timing("report"):
            self._ranks.led(lambda: self._callbacks.on_report(self.report))
        if value is not None:
            check_validation(value, self._best, config.max_rise, step)
        if step > 0 and self._is_due(config.sample_every):
            with self._aside("sample"), self._ranks.with_weights():
                self._ranks.led(self._sample)
        if step > 0 and self._is_due(config.checkpoint_every):
            self.save()

    def _check(self) -> None:
        with self._pace.timing("report"):
            self._ranks.led(self._callbacks.check)

    def _sample(self) -> None:
        with _evaluating(self._task.model):
            text = self._task.sample(self._callbacks.check)
        self._callbacks.on_sample(self.report.step, text)

    def _evaluate(self) -> float | None:
        """Measure, and count what came out; it may be what ends the run."""
        evaluating = _evaluating(self._task.model)
        with self._aside("evaluation"), evaluating, self._autocast(), self._ranks.with_weights():
            train_value = self._ranks.led(lambda: self._task.training_loss(self._callbacks.check))
            value = self._ranks.led(lambda: self._task.validation_loss(self._callbacks.check))
        self.report = replace(self.report, train_loss=train_value, figures=dict(self._task.figures))
        if value is None:
            return None
        self.report = replace(self.report, val_loss=value if math.isfinite(value) else None)
        was_over = self._is_over
        self._best = self._best.after(self.report.step, value, self._config.min_improvement)
        if self._is_over and not was_over:
            self._ranks.led(lambda: self._callbacks.on_early_stop(self._best))
        return value

    def _is_due(self, every: int, offset: int = 0) -> bool:
        return self.report.step % every == offset or self._is_over


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout and no gradients inside; training again after."""
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train()


def _rng_states(device: torch.device) -> dict[str, Tensor]:
    """States of the generators that dropout draws from."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore_rng(states: Mapping[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:  # not there where the run goes on on another kind of device
        torch.cuda.set_rng_state(states["cuda"], device)
