"""The recipe on real networks: it learns, changes what it should, and goes on from disk as if never stopped."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from app.llm.checkpoint import ModelMeta, load_checkpoint, save_checkpoint
from app.llm.config import PRESETS, ModelConfig
from app.llm.data.windows import Batches, Windows
from app.llm.errors import TrainingStopped
from app.llm.model.transformer import Transformer
from app.llm.train.config import TrainConfig
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState, train
from app.llm.train.pretrain import Pretraining

VOCAB = 17


class Kept:
    """Keeps reports; writes checkpoints into `folder`, and stops after `stop_at` updates."""

    def __init__(self, folder: Path | None = None, stop_at: int | None = None) -> None:
        self.folder, self.stop_at = folder, stop_at
        self.reports: list[Report] = []
        self.model: Transformer | None = None

    def check(self) -> None:
        if self.reports and self.reports[-1].step == self.stop_at:
            raise TrainingStopped("shutdown")

    def on_report(self, report: Report) -> None:
        self.reports.append(report)

    def on_sample(self, step: int, text: str) -> None: ...

    def on_early_stop(self, best: Best) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None:
        if self.folder is not None and self.model is not None:
            meta = ModelMeta(self.model.config, "none")
            save_checkpoint(self.folder / f"step-{state.report.step}", self.model, meta, state)


def config_of(preset: str, **changes: object) -> ModelConfig:
    return ModelConfig(**{**PRESETS[preset], "vocab_size": VOCAB, "context_length": 16, **changes})


def network(config: ModelConfig) -> Transformer:
    torch.manual_seed(3)
    return Transformer(config)


def recipe(model: Transformer, config: TrainConfig) -> Pretraining:
    ids = torch.randint(0, VOCAB, (200,), generator=torch.Generator().manual_seed(5))
    return Pretraining(
        model,
        config,
        Batches(Windows(ids[:150], 8, 8), config.batch_size, seed=1),
        Batches(Windows(ids[150:], 8, 8), config.batch_size, seed=0),
        write=lambda check: "",
    )


def weights_of(model: Transformer) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_loss_and_gradients_are_those_of_the_whole_pass(preset, tied, trainable):
    """The shortcuts (pieces of logits, frozen blocks without bookkeeping) change no number."""
    model = network(config_of(preset, tied=tied))
    task = recipe(model, TrainConfig(max_steps=1, batch_size=4, trainable=trainable))
    loss, tokens = task.loss(task.batch(2))
    inputs, targets = task._train[2]
    expected = F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())
    torch.testing.assert_close(loss, expected)
    assert tokens == 32
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.testing.assert_close(torch.autograd.grad(loss, learning), torch.autograd.grad(expected, learning))


@pytest.mark.parametrize("tied", [True, False])
def test_the_last_block_learns_and_nothing_else(tied):
    model = network(config_of("llama-tiny", tied=tied))
    before = weights_of(model)
    config = TrainConfig(max_steps=3, learning_rate=0.01, trainable="last_block")
    train(recipe(model, config), config, Kept())
    changed = {name for name, weight in weights_of(model).items() if not torch.equal(weight, before[name])}
    assert changed == {name for name in before if name.startswith(("blocks.1.", "final_norm.", "output."))}


def test_remembered_states_change_no_loss():
    """The second epoch reads the frozen blocks' states from memory."""
    model = network(config_of("llama-tiny"))
    config = TrainConfig(max_steps=12, batch_size=4, learning_rate=0.01, trainable="last_block")
    remembering, fresh = Kept(), Kept()
    train(recipe(model, config), config, remembering)
    model = network(config_of("llama-tiny"))
    task = recipe(model, config)
    task._frozen, task._learnt, task._forward = None, model.hidden, model.hidden
    train(task, config, fresh)
    for ours, theirs in zip(remembering.reports[1:], fresh.reports[1:], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-6)
    assert remembering.reports[-1].val_loss == pytest.approx(fresh.reports[-1].val_loss, rel=1e-6)


@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_small_batches_add_up_to_a_large_one(trainable):
    """Over two epochs of 18 windows: the same windows in the same order, whatever they are cut into."""
    config = TrainConfig(max_steps=6, batch_size=6, learning_rate=0.01, trainable=trainable, eval_every=1)
    large, small = Kept(), Kept()
    whole, parts = network(config_of("llama-tiny")), network(config_of("llama-tiny"))
    train(recipe(whole, config), config, large)
    split = replace(config, batch_size=2, accumulate=3, eval_batches=3 * config.eval_batches)
    train(recipe(parts, split), split, small)
    for ours, theirs in zip(small.reports[1:], large.reports[1:], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-5)
        assert (ours.step, ours.tokens) == (theirs.step, theirs.tokens)
    expected = weights_of(whole)
    for name, weight in weights_of(parts).items():
        torch.testing.assert_close(weight, expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("preset", ["gpt-tiny", "llama-tiny"])
@pytest.mark.parametrize("tied", [True, False])
def test_gradients_in_mixed_precision_are_nearly_the_exact_ones(preset, tied):
    model = network(config_of(preset, tied=tied))
    task = recipe(model, TrainConfig(max_steps=1, batch_size=4))
    exact, _ = task.loss(batch := task.batch(0))
    with torch.autocast("cpu", torch.bfloat16):
        mixed, _ = task.loss(batch)
    weights = list(model.parameters())
    assert mixed.dtype == torch.float32
    assert mixed.item() != exact.item()
    assert mixed.item() == pytest.approx(exact.item(), rel=0.01)
    for ours, theirs in zip(torch.autograd.grad(mixed, weights), torch.autograd.grad(exact, weights), strict=True):
        assert ours.dtype == torch.float32
        assert (ours - theirs).norm() < 0.03 * theirs.norm()


def test_mixed_precision_learns_by_heart_too():
    ids = torch.randint(0, VOCAB, (33,), generator=torch.Generator().manual_seed(5))
    settings = dict(max_steps=150, batch_size=4, learning_rate=3e-3, weight_decay=0.0, eval_every=1000)
    config, kept = TrainConfig(**settings, precision="bfloat16"), Kept()
    batches = Batches(Windows(ids, 8, 8), 4, seed=1)
    train(Pretraining(network(config_of("gpt-tiny")), config, batches, None, lambda check: ""), config, kept)
    assert kept.reports[-1].loss < 0.05


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # within torch, when it is first compiled with
def test_a_compiled_network_learns_the_same():
    config = TrainConfig(max_steps=3, batch_size=4, learning_rate=0.01, eval_every=1)
    plain, compiled = Kept(), Kept()
    train(recipe(network(config_of("gpt-tiny", n_layers=1)), config), config, plain)
    model, config = network(config_of("gpt-tiny", n_layers=1)), replace(config, compile=True)
    task = recipe(model, config)
    assert task._learnt is not task._forward
    train(task, config, compiled)
    for ours, theirs in zip(compiled.reports[1:], plain.reports[1:], strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        assert ours.val_loss == pytest.approx(theirs.val_loss, rel=1e-4)
    assert set(weights_of(model)) == set(weights_of(network(config_of("gpt-tiny", n_layers=1))))


def test_dropout_in_frozen_blocks_is_not_remembered():
    model = network(config_of("gpt-tiny", drop_rate=0.5))
    task = recipe(model.train(), TrainConfig(max_steps=1, trainable="last_block"))
    batch = task.batch(0)
    assert task.loss(batch)[0].item() != task.loss(batch)[0].item()


def test_validation_reads_the_same_batches_each_time():
    model = network(config_of("gpt-tiny")).eval()
    task = recipe(model, TrainConfig(max_steps=1, batch_size=2, eval_batches=2))
    checks: list[None] = []
    with torch.no_grad():
        first = task.validation_loss(lambda: checks.append(None))
        second = task.validation_loss(lambda: None)
    expected = [
        F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten()).item()
        for inputs, targets in (task._validation[0], task._validation[1])
    ]
    assert first == second == pytest.approx(sum(expected) / 2, rel=1e-6)
    assert len(checks) == 2


def test_without_validation_nothing_is_measured():
    model = network(config_of("gpt-tiny"))
    task = recipe(model, TrainConfig(max_steps=1))
    task._validation = None
    assert task.validation_loss(lambda: None) is None


def test_one_batch_is_learnt_by_heart():
    """From about ln 17 to nearly nothing: gradient, optimizer and schedule work together."""
    ids = torch.randint(0, VOCAB, (33,), generator=torch.Generator().manual_seed(5))
    config = TrainConfig(max_steps=150, batch_size=4, learning_rate=3e-3, weight_decay=0.0, eval_every=1000)
    batches = Batches(Windows(ids, 8, 8), 4, seed=1)
    kept = Kept()
    train(Pretraining(network(config_of("gpt-tiny")), config, batches, None, lambda check: ""), config, kept)
    assert kept.reports[1].loss == pytest.approx(math.log(VOCAB), rel=0.1)
    assert kept.reports[-1].loss < 0.05


@pytest.mark.parametrize(
    ("preset", "trainable", "drop_rate"),
    [("gpt-tiny", "all", 0.2), ("llama-tiny", "all", 0.1), ("llama-tiny", "last_block", 0.0)],
)
@pytest.mark.parametrize(
    "changes",
    [{}, {"accumulate": 3}, {"precision": "bfloat16"}, {"patience": 3, "min_improvement": 9.0, "eval_every": 4}],
    ids=json.dumps,
)
def test_a_run_resumed_from_disk_gives_the_same_weights_bit_for_bit(
    tmp_path: Path, preset, trainable, drop_rate, changes
):
    settings = dict(max_steps=14, batch_size=4, learning_rate=0.01, trainable=trainable, checkpoint_every=100)
    config = TrainConfig(**settings | changes)
    shape = config_of(preset, drop_rate=drop_rate)
    whole, first, second = Kept(), Kept(tmp_path, stop_at=6), Kept()

    straight = network(shape)
    train(recipe(straight, config), config, whole)

    first.model = network(shape)
    with pytest.raises(TrainingStopped):
        train(recipe(first.model, config), config, first)

    (folder,) = tmp_path.iterdir()
    resumed, _, state = load_checkpoint(folder)
    torch.manual_seed(99)  # as in another process
    train(recipe(resumed, config), config, second, resume=state)

    expected = weights_of(straight)
    assert all(torch.equal(weight, expected[name]) for name, weight in weights_of(resumed).items())
    told = {report.step: report.loss for report in first.reports + second.reports}  # one step's maybe twice
    assert told == {report.step: report.loss for report in whole.reports}
    assert second.reports[-1].step == (12 if "patience" in changes else 14)
