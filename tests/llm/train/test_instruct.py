"""Answers learnt by the one loop: what counts, that padding does not, and that a resumed run is the same."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from app.llm.config import PRESETS, ModelConfig
from app.llm.data.taught import TaughtIds
from app.llm.errors import TrainingStopped
from app.llm.model.transformer import Transformer
from app.llm.train.config import InstructConfig
from app.llm.train.instruct import Instructing
from app.llm.train.loop import train
from tests.llm.train.test_loop import Recorder

V = 40
SHAPES = {
    "gpt2": ModelConfig(**{**PRESETS["gpt-tiny"], "vocab_size": V, "context_length": 32}),
    "llama": ModelConfig(
        V, 32, 32, 4, 2, norm="rmsnorm", position="rope", mlp="swiglu", n_kv_heads=2, hidden_dim=48, tied=True
    ),
}


def dialogues(count: int, seed: int = 0) -> list[TaughtIds]:
    """A prompt of some ids; the answer is its first one, and 0, the end."""
    random = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        prompt = random.integers(1, V, random.integers(3, 12)).tolist()
        ids = [*prompt, prompt[0], 0]
        found.append(TaughtIds(ids, [False] * len(prompt) + [True, True], len(prompt)))
    return found


def a_task(learnt: list[TaughtIds], held_out: list[TaughtIds], shape: str = "gpt2", **settings: Any) -> Instructing:
    config = InstructConfig(**{"batch_size": 4, "learning_rate": 3e-3, **settings})
    torch.manual_seed(1)
    return Instructing(Transformer(SHAPES[shape]), config, (learnt, held_out), 5, lambda check: "an answer")


def alone(task: Instructing, rows: list[TaughtIds]) -> torch.Tensor:
    """The loss by hand: row by row, without padding; the mean over all tokens that are learnt."""
    losses = []
    for row in rows:
        logits = task.model(torch.tensor([row.ids[:-1]]))[0]
        counts = torch.tensor(row.learnt[1:])
        losses.append(F.cross_entropy(logits[counts], torch.tensor(row.ids[1:])[counts], reduction="none"))
    return torch.cat(losses).mean()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("trainable", ["all", "last_block"])
def test_padding_changes_neither_loss_nor_gradient(shape, trainable):
    rows = dialogues(4)
    task = a_task(rows, [], shape, trainable=trainable)
    task.model.eval()  # without dropout
    order = [rows[number] for number in task.batches.indices(0)]
    found, tokens = task.loss(task.batch(0))
    expected = alone(task, order)
    torch.testing.assert_close(found, expected)
    assert tokens == 4 * max(map(len, rows))
    learning = [each for each in task.model.parameters() if each.requires_grad]
    gradients = [torch.autograd.grad(value, learning, retain_graph=True) for value in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-6)


def test_validation_is_the_mean_over_all_tokens_whatever_the_batches():
    held_out = dialogues(7, seed=9)
    task = a_task(dialogues(8), held_out)
    task.model.eval()
    with torch.no_grad():
        assert task.validation_loss(lambda: None) == pytest.approx(alone(task, held_out).item(), rel=1e-5)
    assert a_task(dialogues(8), []).validation_loss(lambda: None) is None


def test_the_last_block_alone_learns_if_that_is_asked():
    task = a_task(dialogues(8), [], "llama", trainable="last_block")
    before = copy.deepcopy(task.model.state_dict())
    train(task, InstructConfig(batch_size=4, learning_rate=1e-3).with_steps(2), Recorder(model=task.model))
    changed = {name for name, value in task.model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(("blocks.1.", "final_norm.")) for name in changed)


def test_answers_are_learnt():
    held_out = dialogues(8, seed=9)
    task = a_task(dialogues(400), held_out, "llama", learning_rate=1e-2)
    config = InstructConfig(batch_size=16, learning_rate=1e-2, eval_every=100)
    heard = Recorder(model=task.model)
    train(task, config.with_steps(100), heard)
    losses = [report.val_loss for report in heard.reports if report.val_loss is not None]
    assert losses[-1] < 0.75 * losses[0]


@pytest.mark.parametrize("batching", ["by_length", "by_chance"])
def test_a_run_that_was_stopped_ends_with_the_same_bits(batching):
    settings: dict[str, Any] = {"batching": batching, "accumulate": 2, "precision": "bfloat16"}
    config = InstructConfig(batch_size=4, learning_rate=1e-2, eval_every=2, **settings).with_steps(6)

    def fresh() -> Instructing:
        return a_task(dialogues(20), dialogues(5, seed=9), **settings)

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
