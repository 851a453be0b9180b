"""Classes learnt by the one loop: what is read, what learns, what frozen blocks are spared, and how it is measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from app.llm.config import PRESETS, ClassifierConfig, ModelConfig
from app.llm.data.labelled import LabelledIds
from app.llm.errors import BadConfig
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer
from app.llm.train.classify import Classification
from app.llm.train.config import ClassifyConfig
from app.llm.train.frozen import FrozenStates
from app.llm.train.loop import train
from tests.llm.train.test_loop import Recorder

VOCABULARY, PAD = 50, 0
BODY = ModelConfig(**{**PRESETS["gpt-tiny"], "vocab_size": VOCABULARY, "context_length": 16})


def texts(count: int, seed: int) -> list[LabelledIds]:
    """The class is that of the text's first token: 1 to 24, or 25 to 49."""
    random = np.random.default_rng(seed)
    rows = [random.integers(1, VOCABULARY, random.integers(2, 12)).tolist() for _ in range(count)]
    return [LabelledIds(row, int(row[0] >= 25)) for row in rows]


def a_task(learnt: list[LabelledIds], held_out: list[LabelledIds], **settings: Any) -> Classification:
    config = ClassifyConfig(**{"batch_size": 8, "learning_rate": 3e-3, "min_learning_rate": 3e-3, **settings})
    shape = ClassifierConfig(BODY, ("low", "high"), config.reads, config.max_tokens or 12, PAD)
    torch.manual_seed(1)
    model = Classifier(Transformer(BODY), 2)
    return Classification(model, shape, config, (learnt, held_out), 5, lambda row: " ".join(map(str, row.ids)))


def run(task: Classification, steps: int, **settings: Any) -> Recorder:
    heard = Recorder()
    rates = {"learning_rate": 3e-3, "min_learning_rate": 3e-3}
    train(task, ClassifyConfig(**{**rates, "max_steps": steps, "batch_size": 8, **settings}), heard)
    return heard


def test_it_learns_what_can_be_told() -> None:
    learnt, held_out = texts(200, 1), texts(60, 2)
    task = a_task(learnt, held_out, trainable="all")
    run(task, 150, trainable="all")
    task.model.eval()
    chances = task.probabilities(held_out, lambda: None)
    right = float(np.mean(chances.argmax(1) == [row.label for row in held_out]))
    assert chances.sum(1) == pytest.approx(np.ones(60))
    assert right > 0.9
    assert task.sample(lambda: None).splitlines()[0] == f"{round(right * 60)} of 60 right ({right:.1%})"


@pytest.mark.parametrize("reads", ["last_token", "last_place", "first_token"])
def test_frozen_blocks_are_spared_and_change_nothing(reads: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = []
    for remembers in (True, False):
        task = a_task(texts(24, 3), texts(8, 4), reads=reads)
        if not remembers:
            monkeypatch.setattr(task, "_frozen", None)
        losses.append([report.loss for report in run(task, 6, reads=reads).reports[1:]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


@pytest.mark.parametrize("reads", ["last_token", "last_place", "first_token"])
def test_what_is_remembered_of_a_text_is_the_same_whichever_batch_came_first(
    reads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With first_token it had the padding of the first batch that it was in, which a resumed run may meet otherwise.
    Texts that begin alike are told apart: they are known by what they are, not by the token that is read."""
    asked, of = {}, FrozenStates.of

    def noted(states: FrozenStates, keys: list[int], rows: list[torch.Tensor]) -> torch.Tensor:
        for key, row in zip(keys, rows, strict=True):
            assert torch.equal(asked.setdefault(key, row), row)
        return of(states, keys, rows)

    monkeypatch.setattr(FrozenStates, "of", noted)
    short, longer, twin = LabelledIds([7, 8], 0), LabelledIds([9, *range(1, 14)], 1), LabelledIds([7, 8, 9, 3], 1)
    task = a_task([short, longer, twin], [], reads=reads)
    for rows in ([short], [short, longer], [twin, short], [longer], [twin]):
        task.probabilities(rows, lambda: None)
    assert len(asked) == 3


def test_a_text_gets_the_same_verdict_beside_longer_ones() -> None:
    task = a_task(texts(8, 5), [])
    task.model.eval()
    rows = texts(5, 6)
    together = task.probabilities(rows, lambda: None)
    alone = np.concatenate([task.probabilities([row], lambda: None) for row in rows])
    assert together == pytest.approx(alone, abs=1e-6)


def test_the_books_reading_sees_what_fills_a_text_up() -> None:
    """Chapter 6 pads all texts to one length and reads the last place, whatever stands there."""
    task = a_task(texts(8, 5), [], reads="last_place")
    task.model.eval()
    ids = [7, 8, 9]
    padded = torch.tensor([ids + [PAD] * 9])
    with torch.no_grad():
        expected = task.model(padded).double().softmax(-1).numpy()
    assert task.probabilities([LabelledIds(ids, 0)], lambda: None) == pytest.approx(expected, abs=1e-6)


def test_the_loss_on_what_is_kept_back_is_the_mean_over_its_texts() -> None:
    held_out = texts(40, 7)  # more than are measured at once
    task = a_task(texts(8, 5), held_out)
    task.model.eval()
    chances = task.probabilities(held_out, lambda: None)
    expected = -np.mean([np.log(its[row.label]) for its, row in zip(chances, held_out, strict=True)])
    assert task.validation_loss(lambda: None) == pytest.approx(expected)
    assert a_task(texts(8, 5), []).validation_loss(lambda: None) is None


def of_many_lengths(count: int) -> list[LabelledIds]:
    random = np.random.default_rng(9)
    rows = [random.integers(1, VOCABULARY, random.integers(1, 13)).tolist() for _ in range(count)]
    return [LabelledIds(row, int(row[0] >= 25)) for row in rows]


def padding(task: Classification) -> float:
    """Of what an epoch reads, the share that is no text."""
    batches = [task.batch(number) for number in range(len(task.batches))]
    read = sum(batch.states.numel() for batch in batches)
    return sum(int((batch.states == PAD).sum()) for batch in batches) / read


def test_batches_by_length_read_little_padding() -> None:
    rows = of_many_lengths(160)
    by_chance, by_length = (
        padding(a_task(rows, [], trainable="all", batching=batching)) for batching in ("by_chance", "by_length")
    )
    assert by_length < 0.1 < 0.3 < by_chance


@pytest.mark.parametrize("trainable", ["last_block", "all"])
def test_batches_by_length_are_those_of_their_step(trainable: str) -> None:
    """So that a run which goes on from a checkpoint, and asks for a step before any other, learns the same."""
    rows = of_many_lengths(160)
    through, anew = (a_task(rows, [], trainable=trainable, batching="by_length") for _ in range(2))
    expected = [through.batch(step) for step in range(45)]
    for step in (41, 3, 19):
        found = anew.batch(step)
        assert torch.equal(found.labels, expected[step].labels)
        assert torch.equal(found.states, expected[step].states)


def test_where_the_last_place_is_read_batches_by_length_are_refused() -> None:
    with pytest.raises(BadConfig, match="batching"):
        ClassifyConfig(reads="last_place", batching="by_length")


def test_only_what_is_to_learn_changes() -> None:
    task = a_task(texts(16, 8), [], trainable="head")
    before = {name: value.clone() for name, value in task.model.named_parameters()}
    run(task, 2, trainable="head")
    changed = {name for name, value in task.model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_what_is_too_long_is_cut() -> None:
    task = a_task(texts(8, 5), [], max_tokens=4)
    task.model.eval()
    long, short = LabelledIds(list(range(1, 12)), 0), LabelledIds(list(range(1, 5)), 0)
    assert task.probabilities([long], lambda: None) == pytest.approx(task.probabilities([short], lambda: None))
