"""Preferences learnt by the one loop: against a float64 reference by hand, and that a resumed run is the same."""

from __future__ import annotations

import copy
from collections import defaultdict
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from app.llm.config import PRESETS, ModelConfig
from app.llm.data.examples import IGNORED
from app.llm.data.taught import TaughtIds, TaughtPair
from app.llm.errors import TrainingStopped
from app.llm.model.transformer import Transformer
from app.llm.train.config import PreferenceConfig
from app.llm.train.dpo import FIGURES, Preferring, divergence
from app.llm.train.loop import train
from tests.llm.train.test_loop import Recorder

V = 40
SHAPE = ModelConfig(**{**PRESETS["gpt-tiny"], "vocab_size": V, "context_length": 32})


def pairs(count: int, seed: int = 0) -> list[TaughtPair]:
    """Low answers are preferred to high ones; they have one to three tokens."""
    random = np.random.default_rng(seed)

    def row(prompt: list[int], low: int, high: int) -> TaughtIds:
        answer = random.integers(low, high, random.integers(1, 4)).tolist()
        return TaughtIds([*prompt, *answer], [False] * len(prompt) + [True] * len(answer), len(prompt))

    found = []
    for _ in range(count):
        prompt = random.integers(0, V, random.integers(3, 9)).tolist()
        found.append(TaughtPair(row(prompt, 0, V // 2), row(prompt, V // 2, V)))
    return found


def networks(dtype: torch.dtype = torch.float32) -> tuple[Transformer, Transformer]:
    """A policy that has moved a little, and the reference it started from."""
    torch.manual_seed(1)
    reference = Transformer(SHAPE).eval().to(dtype)
    policy = copy.deepcopy(reference)
    with torch.no_grad():
        for weight in policy.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    return policy, reference


def a_task(
    both: tuple[Transformer, Transformer], learnt: list[TaughtPair], held_out: list[TaughtPair], **settings: Any
) -> Preferring:
    config = PreferenceConfig(**{"batch_size": 4, "learning_rate": 1e-3, **settings})
    policy, reference = both
    return Preferring(policy, lambda: nullcontext(reference), config, (learnt, held_out), 5, lambda check: "an answer")


def log_probability(network: Transformer, row: TaughtIds, is_sum: bool) -> torch.Tensor:
    """Of a row's answer, one row without padding."""
    shares = F.log_softmax(network(torch.tensor([row.ids[:-1]]))[0], dim=-1)
    counts = torch.tensor(row.learnt[1:])
    picked = shares[counts].gather(1, torch.tensor(row.ids[1:])[counts][:, None])
    return picked.sum() if is_sum else picked.mean()


@pytest.mark.parametrize("log_probability_of", ["mean", "sum"])
def test_loss_figures_and_gradient_are_those_of_the_formula_in_float64(log_probability_of):
    rows = pairs(4)
    policy, reference = networks(torch.float64)
    task = a_task((policy, reference), rows, rows, beta=0.3, log_probability=log_probability_of)
    is_sum = log_probability_of == "sum"
    order = [rows[number] for number in task.batches.indices(0)]
    rewards = {
        kind: torch.stack(
            [
                log_probability(policy, getattr(row, kind), is_sum)
                - log_probability(reference, getattr(row, kind), is_sum).detach()
                for row in order
            ]
        )
        for kind in ("chosen", "rejected")
    }
    ahead = rewards["chosen"] - rewards["rejected"]
    expected = -torch.log(1 / (1 + torch.exp(-0.3 * ahead))).mean()
    loss, tokens = task.loss(task.batch(0))
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=0)
    assert tokens == 8 * max(map(len, rows))
    learning = list(policy.parameters())
    gradients = [torch.autograd.grad(value, learning, retain_graph=True) for value in (loss, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-6, atol=1e-8)  # a mean of tokens divides in float32
    with torch.no_grad():
        assert task.validation_loss(lambda: None) == pytest.approx(expected.item(), rel=1e-9)
    assert task.figures["margin"] == pytest.approx(ahead.mean().item(), rel=1e-9)
    assert task.figures["val_accuracy"] == (ahead > 0).double().mean().item()
    for kind, values in rewards.items():
        assert task.figures[f"{kind}_reward"] == pytest.approx(values.mean().item(), rel=1e-9)
    assert set(task.figures) == set(FIGURES)


def test_the_divergence_is_torchs():
    policy, reference = networks()
    ids = torch.arange(12).reshape(2, 6)
    targets = torch.full((2, 6), IGNORED)
    targets[0, 2:5], targets[1, 5] = 1, 2
    states = [network.hidden(ids) for network in (policy, reference)]
    found = divergence(*states, targets, (policy.token_embedding.weight, reference.token_embedding.weight))
    shares = [F.log_softmax(network(ids), dim=-1)[targets != IGNORED] for network in (policy, reference)]
    expected = F.kl_div(shares[1], shares[0], log_target=True, reduction="sum")
    assert found == pytest.approx(expected.item(), rel=1e-4)
    assert divergence(states[0], states[0], targets, (policy.token_embedding.weight,) * 2) == 0.0


def test_what_has_not_moved_costs_the_logarithm_of_two_and_prefers_nothing():
    _, reference = networks()
    task = a_task((copy.deepcopy(reference), reference), pairs(8), pairs(6, seed=3))
    with torch.no_grad():
        task.model.eval()
        assert task.validation_loss(lambda: None) == pytest.approx(np.log(2), abs=1e-6)
    assert task.figures["margin"] == pytest.approx(0, abs=1e-5)
    assert task.figures["kl"] == pytest.approx(0, abs=1e-5)


def test_preferences_are_learnt_and_the_reference_stays():
    _, reference = networks()
    before = copy.deepcopy(reference.state_dict())
    task = a_task((copy.deepcopy(reference), reference), pairs(64), pairs(16, seed=3), learning_rate=1e-2)
    config = PreferenceConfig(batch_size=8, learning_rate=1e-2).with_steps(30)
    train(task, config, Recorder(model=task.model))
    assert task.figures["val_accuracy"] == 1.0
    assert task.figures["margin"] > 1.0
    assert task.figures["kl"] > 0.0
    for name, value in reference.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_reference_is_asked_once_a_row():
    policy, reference = networks()
    asked: list[int] = []
    original = reference.hidden

    def counted(ids: torch.Tensor) -> torch.Tensor:
        asked.append(len(ids))
        return original(ids)

    reference.hidden = counted  # type: ignore[method-assign]
    task = a_task((policy, reference), pairs(8), [])
    for step in range(2 * len(task.batches)):
        task.loss(task.batch(step))
    assert asked == [2] * 8


def test_a_run_that_was_stopped_ends_with_the_same_bits():
    config = PreferenceConfig(batch_size=4, learning_rate=1e-2, precision="bfloat16", eval_every=2).with_steps(6)
    _, reference = networks()

    def fresh() -> Preferring:
        return a_task(
            (copy.deepcopy(reference), copy.deepcopy(reference)), pairs(20), pairs(5, seed=9), precision="bfloat16"
        )

    whole = fresh()
    train(whole, config, Recorder(model=whole.model))
    stopped = fresh()
    heard = Recorder(lambda its: "paused" if its.step == 3 else None, model=stopped.model)
    with pytest.raises(TrainingStopped):
        train(stopped, config, heard)
    resumed = fresh()
    resumed.model.load_state_dict(heard.weights[-1])
    train(resumed, config, Recorder(model=resumed.model), resume=heard.states[-1])
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


class OurOutputs:
    """What trl reads off a causal model with a fused head, computed by one of our networks."""

    def __init__(self, network: Transformer, ids: torch.Tensor, labels: torch.Tensor) -> None:
        logits = network(ids)[:, :-1]  # (2B, T - 1, V)
        shares, wanted = logits.log_softmax(-1), labels[:, 1:]
        counts = wanted != IGNORED
        self.log_probs = shares.gather(-1, wanted.clamp(min=0)[..., None])[..., 0] * counts
        self.entropy = -(shares.exp() * shares).sum(-1)
        self.mean_logits = logits.mean(-1)
        self.is_top1 = logits.argmax(-1) == wanted


def as_it_is(value: torch.Tensor) -> torch.Tensor:
    return value


class AsCausalModel(torch.nn.Module):
    is_gradient_checkpointing = False

    def __init__(self, network: Transformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor, **_more: object) -> OurOutputs:
        return OurOutputs(self.network, input_ids, labels)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_loss_and_rewards_are_trls(beta):
    """By trl's own code on our networks; it comes with the extra `parity`."""
    trainer = pytest.importorskip("trl.trainer.dpo_trainer", reason="needs trl").DPOTrainer
    rows = pairs(4)
    policy, reference = networks(torch.float64)
    task = a_task((policy, reference), rows, rows, beta=beta, log_probability="sum")
    answers = [*(row.chosen for row in rows), *(row.rejected for row in rows)]
    longest = max(len(row.ids) for row in answers)
    rest = [longest - len(row.ids) for row in answers]
    inputs = {
        "input_ids": torch.tensor([row.ids + [0] * more for row, more in zip(answers, rest, strict=True)]),
        "completion_mask": torch.tensor([row.learnt + [False] * more for row, more in zip(answers, rest, strict=True)]),
        "attention_mask": torch.tensor(
            [[True] * len(row.ids) + [False] * more for row, more in zip(answers, rest, strict=True)]
        ),
    }
    metrics: dict[str, dict[str, list[float]]] = {"train": defaultdict(list), "eval": defaultdict(list)}
    asked = SimpleNamespace(
        model=AsCausalModel(policy), ref_model=AsCausalModel(reference), beta=beta, loss_types=["sigmoid"],
        loss_weights=[1.0], f_divergence_type="reverse_kl", ld_alpha=None, precompute_ref_logps=False,
        aux_loss_enabled=False, use_weighting=False, label_smoothing=0.0, _metrics=metrics, _total_train_tokens=0,
        _tp_size=1, args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        accelerator=SimpleNamespace(device=torch.device("cpu"), gather_for_metrics=as_it_is, gather=as_it_is),
    )  # fmt: skip
    expected = trainer._compute_loss(asked, asked.model, inputs, return_outputs=False)
    assert task.validation_loss(lambda: None) == pytest.approx(expected.item(), rel=1e-9)
    (told,) = (kind for kind in metrics.values() if kind)
    for kind in ("chosen", "rejected"):
        assert beta * task.figures[f"{kind}_reward"] == pytest.approx(told[f"rewards/{kind}"][0], rel=1e-6)
    assert beta * task.figures["margin"] == pytest.approx(told["rewards/margins"][0], rel=1e-6)
    assert task.figures["val_accuracy"] == told["rewards/accuracies"][0]
