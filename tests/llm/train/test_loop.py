"""The loop alone, on a network small enough to see: what happens at which step, and that a resumed run is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from app.llm.errors import BadCheckpoint, TrainingDiverged, TrainingStopped
from app.llm.train.config import TrainConfig
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState, train


class Regression:
    """Learns y = x @ w through a network with dropout; a batch depends on its number alone."""

    def __init__(self, drop_rate: float = 0.5, poison_at: int | None = None, batch_size: int = 16) -> None:
        torch.manual_seed(1)
        self.model: nn.Module = nn.Sequential(nn.Linear(4, 8), nn.Dropout(drop_rate), nn.Linear(8, 1))
        self.poison_at = poison_at
        self.batch_size = batch_size
        self.val_losses: Iterator[float] | None = None
        """What the evaluations come to, instead of what is measured."""

    def batch(self, number: int) -> Tensor:
        """Inputs, (B, 4)."""
        inputs = torch.randn(1000, 4, generator=torch.Generator().manual_seed(0))
        batch = inputs[number * self.batch_size : (number + 1) * self.batch_size]
        return batch * float("nan") if number == self.poison_at else batch

    def loss(self, batch: Tensor) -> tuple[Tensor, int]:
        return F.mse_loss(self.model(batch).squeeze(1), batch.sum(1)), len(batch)

    @property
    def generators(self) -> dict[str, torch.Generator]:
        return {}

    @property
    def figures(self) -> dict[str, float]:
        return {}

    def training_loss(self, check: Callable[[], None]) -> float | None:
        return None

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        assert not self.model.training
        check()
        if self.val_losses is not None:
            return next(self.val_losses)
        inputs = torch.randn(64, 4, generator=torch.Generator().manual_seed(10**6))
        return F.mse_loss(self.model(inputs).squeeze(1), inputs.sum(1)).item()

    def sample(self, check: Callable[[], None]) -> str:
        check()
        return "a sample"


@dataclass
class Recorder:
    """Keeps what the loop tells; stops the run when `stop_when` says a reason."""

    stop_when: Callable[[Recorder], str | None] = lambda _: None
    reports: list[Report] = field(default_factory=list)
    stops: list[Best] = field(default_factory=list)
    samples: list[int] = field(default_factory=list)
    states: list[TrainState] = field(default_factory=list)
    weights: list[dict[str, Tensor]] = field(default_factory=list)
    model: nn.Module | None = None

    def check(self) -> None:
        reason = self.stop_when(self)
        if reason is not None:
            raise TrainingStopped(reason)

    def on_report(self, report: Report) -> None:
        self.reports.append(report)

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(step)

    def on_early_stop(self, best: Best) -> None:
        self.stops.append(best)

    def on_checkpoint(self, state: TrainState) -> None:
        self.states.append(copy.deepcopy(state))
        if self.model is not None:
            self.weights.append(copy.deepcopy(self.model.state_dict()))

    @property
    def step(self) -> int:
        return self.reports[-1].step if self.reports else -1


CONFIG = TrainConfig(max_steps=12, learning_rate=0.05, warmup_steps=2, eval_every=4, sample_every=5, checkpoint_every=6)


def weights_of(task: Regression) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in task.model.parameters()]


def test_each_thing_is_done_when_it_is_due():
    recorder = Recorder()
    last = train(Regression(), CONFIG, recorder)
    assert [report.step for report in recorder.reports] == list(range(13))
    assert [report.step for report in recorder.reports if report.val_loss is not None] == [0, 4, 6, 8, 12]
    assert recorder.samples == [5, 10, 12]
    assert [state.report.step for state in recorder.states] == [6, 12]
    assert last == recorder.reports[-1]
    assert last.tokens == 12 * 16


def test_a_report_tells_rate_and_norm():
    recorder = Recorder()
    train(Regression(), CONFIG, recorder)
    before, first, second = recorder.reports[:3]
    assert before == Report(step=0, total_steps=12, val_loss=before.val_loss)
    assert first.learning_rate == 0.0
    assert second.learning_rate == pytest.approx(0.025)
    assert second.grad_norm > 0


class TimedRegression(Regression):
    """Takes 1 s to get a batch, 5 s to compute, 100 s to be evaluated, by its own clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def batch(self, number: int) -> Tensor:
        self.now += 1.0
        return super().batch(number)

    def loss(self, batch: Tensor) -> tuple[Tensor, int]:
        self.now += 5.0
        return super().loss(batch)

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        self.now += 100.0
        return super().validation_loss(check)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_report_tells_what_time_went_into_and_what_is_left(accumulate):
    """A speed counts loading and reporting (4 s here), not evaluation; what is left counts all of it."""
    task, recorder = TimedRegression(), Recorder()
    told = recorder.on_report

    def on_report(report: Report) -> None:
        task.now += 4.0
        told(report)

    recorder.on_report = on_report
    train(task, replace(CONFIG, accumulate=accumulate), recorder, clock=lambda: task.now)
    for report in recorder.reports[1:]:
        seconds = 4.0 + 6.0 * accumulate
        assert report.tokens_per_s == 16 * accumulate / seconds
        assert (report.data_share, report.report_share) == (accumulate / seconds, 4.0 / seconds)
        evaluations = sum(1 for step in (4, 6, 8, 12) if step > report.step)
        assert report.seconds_left == (12 - report.step) * seconds + evaluations * 100.0


def test_updates_are_those_of_torchs_adamw():
    """A loop by hand over the same batches: clip, cosine, decay of every weight, as in the book."""
    task, reference = Regression(drop_rate=0.0), Regression(drop_rate=0.0)
    config = TrainConfig(max_steps=8, learning_rate=0.01, weight_decay=0.3, grad_clip=0.5)
    train(task, config, Recorder())
    optimizer = torch.optim.AdamW(reference.model.parameters(), lr=0.01, weight_decay=0.3, foreach=False)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    for step in range(8):
        optimizer.zero_grad()
        reference.loss(reference.batch(step))[0].backward()
        nn.utils.clip_grad_norm_(reference.model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
    torch.testing.assert_close(weights_of(task), weights_of(reference))


def test_without_a_clip_the_norm_is_still_told():
    config = TrainConfig(max_steps=2, learning_rate=0.01, grad_clip=None)
    task, recorder = Regression(drop_rate=0.0), Recorder()
    gradients = torch.autograd.grad(task.loss(task.batch(0))[0], list(task.model.parameters()))
    expected = torch.cat([gradient.flatten() for gradient in gradients]).norm().item()
    train(task, config, recorder)
    assert recorder.reports[1].grad_norm == pytest.approx(expected)


def test_a_gradient_is_clipped_to_its_length(golden):
    """Appendix D's example, as the gradient of the sum of four weights times its numbers."""
    fact, task = golden("appD.clip.example"), Regression()
    task.model = layer = nn.Linear(2, 2, bias=False)
    task.validation_loss = lambda _check: None
    slopes = torch.tensor([[1.0, 2.0], [2.0, 4.0]])
    task.loss = lambda _batch: ((layer.weight * slopes).sum(), 1)
    recorder = Recorder()
    train(task, TrainConfig(max_steps=1, grad_clip=fact["inputs"]["max_norm"]), recorder)
    assert recorder.reports[-1].grad_norm == pytest.approx(fact["expected"]["norm"], abs=fact["tolerance"])
    for ours, theirs in zip(layer.weight.grad, fact["expected"]["clipped"], strict=True):
        assert ours.tolist() == pytest.approx(theirs, abs=fact["tolerance"])


def test_one_batch_is_learnt_by_heart():
    task, recorder = Regression(drop_rate=0.0), Recorder()
    only = task.batch(0)
    task.batch = lambda _number: only
    train(task, TrainConfig(max_steps=300, learning_rate=0.05, weight_decay=0.0), recorder)
    assert recorder.reports[-1].loss < 1e-3 * recorder.reports[1].loss


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("stop_at", range(12))
def test_a_resumed_run_gives_the_same_weights_bit_for_bit(stop_at, accumulate):
    """Stopped by a shutdown after any step, with dropout on: the checkpoint holds all that the rest depends on."""
    config = replace(CONFIG, accumulate=accumulate)
    straight, whole = Regression(), Recorder()
    train(straight, config, whole)

    first = Recorder(stop_when=lambda recorder: "shutdown" if recorder.step == stop_at else None)
    first.model = (task := Regression()).model
    with pytest.raises(TrainingStopped, match="shutdown"):
        train(task, config, first)
    assert first.states[-1].report.step in (stop_at, stop_at + 1)  # the former in the midst of what is due then

    torch.manual_seed(999)  # another process: its generator stands elsewhere
    resumed, second = Regression(), Recorder()
    torch.rand(5)
    resumed.model.load_state_dict(first.weights[-1])
    train(resumed, config, second, resume=first.states[-1])
    for ours, expected in zip(weights_of(resumed), weights_of(straight), strict=True):
        assert torch.equal(ours, expected)
    told = {report.step: (report.loss, report.val_loss, report.grad_norm) for report in first.reports + second.reports}
    assert told == {report.step: (report.loss, report.val_loss, report.grad_norm) for report in whole.reports}


@pytest.mark.parametrize(("nth", "step"), [(3, 0), (4, 0), (6, 1), (7, 1)])
def test_a_stop_between_the_batches_of_an_update_leaves_no_trace(nth, step):
    """Dropout has drawn for some of them already: the state is that of before them, to the bit.

    It is asked at step 0 and while that is evaluated, twice in each update, once after it.
    """
    config = TrainConfig(max_steps=4, learning_rate=0.05, accumulate=3, eval_every=100)
    straight = Regression()
    train(straight, config, Recorder())

    asked: list[None] = []
    first = Recorder(stop_when=lambda _: asked.append(None) or ("shutdown" if len(asked) == nth else None))
    first.model = (task := Regression()).model
    with pytest.raises(TrainingStopped):
        train(task, config, first)
    assert first.states[-1].report.step == first.step == step
    resumed = Regression()
    resumed.model.load_state_dict(first.weights[-1])
    train(resumed, config, Recorder(), resume=first.states[-1])
    assert all(torch.equal(*pair) for pair in zip(weights_of(resumed), weights_of(straight), strict=True))


def test_small_batches_add_up_to_a_large_one():
    """Mean of the means of equally large batches: the same loss, norm and update to rounding."""
    large, small = Recorder(), Recorder()
    whole, parts = Regression(drop_rate=0.0, batch_size=48), Regression(drop_rate=0.0, batch_size=12)
    config = TrainConfig(max_steps=10, learning_rate=0.05)
    train(whole, config, large)
    train(parts, replace(config, accumulate=4), small)
    for ours, theirs in zip(small.reports[1:], large.reports[1:], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert ours.grad_norm == pytest.approx(theirs.grad_norm, rel=1e-4)
        assert (ours.step, ours.tokens, ours.learning_rate) == (theirs.step, theirs.tokens, theirs.learning_rate)
    torch.testing.assert_close(weights_of(parts), weights_of(whole), rtol=1e-4, atol=1e-5)


def test_mixed_precision_learns_nearly_the_same_and_keeps_float32():
    exact, mixed = Recorder(), Recorder()
    seen: list[torch.dtype] = []
    task = Regression(drop_rate=0.0)
    task.model[0].register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    train(Regression(drop_rate=0.0), CONFIG, exact)
    train(task, replace(CONFIG, precision="bfloat16"), mixed)
    assert set(seen) == {torch.bfloat16}
    state = mixed.states[-1]
    assert {tensor.dtype for tensor in (*task.model.parameters(), *state.optimizer.values())} == {torch.float32}
    losses = [[report.loss for report in recorder.reports[1:]] for recorder in (exact, mixed)]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
    assert mixed.reports[-1].val_loss == pytest.approx(exact.reports[-1].val_loss, rel=0.05)


PATIENT = TrainConfig(
    max_steps=100, learning_rate=0.05, patience=2, min_improvement=0.1, eval_every=4, sample_every=50,
    checkpoint_every=50,
)  # fmt: skip


def test_a_run_ends_once_nothing_gets_better():
    """Evaluated at 0, 4, 8, …: the one at 8 improves by too little, that at 12 enough, those at 16 and 20 do not."""
    task, recorder = Regression(), Recorder()
    task.val_losses = iter([5.0, 4.0, 3.95, 3.0, 2.95, 3.5, 0.0])
    last = train(task, PATIENT, recorder)
    assert (last.step, last.total_steps) == (20, 100)
    assert recorder.stops == [Best(val_loss=3.0, step=12, counted_step=20, worse=2)]
    assert recorder.samples == [20]  # what is due at the end is done at this end, too
    assert [state.report.step for state in recorder.states] == [20]


@pytest.mark.parametrize("stop_at", range(8))
def test_a_resumed_run_ends_where_it_would_have(stop_at):
    """What is due at a checkpoint's step is done again, and its evaluation counted once: those of 4, 6 and 8."""
    config = replace(CONFIG, learning_rate=1e-9, patience=3, min_improvement=0.1)
    straight, whole = Regression(), Recorder()
    train(straight, config, whole)
    assert (whole.step, [best.step for best in whole.stops]) == (8, [0])

    first = Recorder(stop_when=lambda recorder: "shutdown" if recorder.step == stop_at else None)
    first.model = (task := Regression()).model
    with pytest.raises(TrainingStopped):
        train(task, config, first)
    resumed, second = Regression(), Recorder()
    resumed.model.load_state_dict(first.weights[-1])
    train(resumed, config, second, resume=first.states[-1])
    assert (second.step, second.stops, second.samples[-1]) == (8, whole.stops, 8)
    assert all(torch.equal(*pair) for pair in zip(weights_of(resumed), weights_of(straight), strict=True))


def test_a_run_that_ended_early_is_not_told_of_again():
    """Resumed from its last checkpoint, as after a crash before its model was registered: it is over at once."""
    config = replace(CONFIG, learning_rate=1e-9, patience=3, min_improvement=0.1)
    first = Recorder()
    first.model = (task := Regression()).model
    train(task, config, first)
    second = Recorder()
    last = train(task, config, second, resume=first.states[-1])
    assert (last.step, second.stops, [state.report.step for state in second.states]) == (8, [], [8])


@pytest.mark.parametrize("reason", ["cancelled", "lost"])
def test_other_stops_save_nothing(reason):
    recorder = Recorder(stop_when=lambda recorder: reason if recorder.step == 3 else None)
    with pytest.raises(TrainingStopped, match=reason):
        train(Regression(), CONFIG, recorder)
    assert recorder.states == []


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("poison_at", [0, 7])
def test_a_loss_that_is_no_number_ends_the_run_at_its_step(poison_at, accumulate):
    task, recorder = Regression(poison_at=poison_at), Recorder()
    step = poison_at // accumulate + 1
    with pytest.raises(TrainingDiverged, match=f"at step {step} the loss became nan") as caught:
        train(task, replace(CONFIG, accumulate=accumulate), recorder)
    assert (caught.value.step, caught.value.cause, caught.value.batches) == (step, "loss", [poison_at])
    assert recorder.step == step - 1
    assert all(torch.isfinite(weight).all() for weight in weights_of(task))


def test_a_gradient_that_is_no_number_touches_no_weight():
    task = Regression(drop_rate=0.0)
    whole = task.loss
    task.loss = lambda batch: (whole(batch)[0] + _spike(task), 16)
    before = weights_of(task)
    named = r"the gradient's norm became nan, in 1 of 4 tensors \(0\.weight\), the loss being a number"
    with pytest.raises(TrainingDiverged, match=named) as caught:
        train(task, replace(CONFIG, accumulate=2), Recorder())
    assert (caught.value.step, caught.value.cause, caught.value.batches) == (1, "gradient", [0, 1])
    assert all(torch.equal(now, then) for now, then in zip(weights_of(task), before, strict=True))


@pytest.mark.parametrize(
    ("losses", "max_rise", "step"),
    [
        ([5.0, 4.0, 5.1], 1.0, 8),
        ([5.0, 4.0, 4.9, 5.1], 1.0, 12),
        ([float("nan")], None, 0),
        ([5.0, float("inf")], 9.0, 4),
    ],
)
def test_a_validation_loss_that_climbs_away_ends_the_run(losses, max_rise, step):
    task, recorder = Regression(), Recorder()
    task.val_losses = iter(losses)
    with pytest.raises(TrainingDiverged, match=f"at step {step} the validation loss") as caught:
        train(task, replace(CONFIG, max_rise=max_rise, checkpoint_every=100), recorder)
    assert (caught.value.step, caught.value.cause, caught.value.batches) == (step, "validation_loss", [])
    assert recorder.step == step  # what was measured is told before


def _spike(task: Regression) -> Tensor:
    """Adds nothing to the loss, and NaN to a gradient: the root's slope at 0 is infinite."""
    return torch.sqrt(next(task.model.parameters()).sum() * 0.0)


def test_an_optimizer_of_other_weights_is_refused():
    recorder = Recorder()
    train(Regression(), CONFIG, recorder)
    other = Regression()
    other.model = nn.Sequential(nn.Linear(4, 9), nn.Dropout(0.5), nn.Linear(9, 1))
    with pytest.raises(BadCheckpoint, match=r"does not fit these weights: 0\.bias, 0\.weight, 2\.weight"):
        train(other, CONFIG, Recorder(), resume=recorder.states[0])


def test_weights_without_a_gradient_stay_as_they_are():
    task = Regression()
    frozen = next(task.model.parameters()).requires_grad_(False)
    before = weights_of(task)
    train(task, CONFIG, Recorder())
    now = weights_of(task)
    assert torch.equal(now[0], before[0])
    assert not any(torch.equal(a, b) for a, b in zip(now[1:], before[1:], strict=True))
    assert frozen.grad is None
