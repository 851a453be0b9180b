"""The book's small runs on our loop: appendix A's first network, and the smoke tests of chapters 5 to 7 and appendix E.

Their numbers rest on torch's generator, from which starting weights and orders are drawn in the book's order.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from app.llm.config import LoRAConfig, ModelConfig
from app.llm.data.examples import cut
from app.llm.data.instructions import encode_instructions, join_instructions, read_instructions
from app.llm.data.labelled import balanced, encode_labelled, join_labelled, longest, read_labelled, shuffled
from app.llm.data.windows import Windows
from app.llm.model.book_start import book_network
from app.llm.model.classifier import Classifier
from app.llm.model.lora import apply_lora
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import load
from app.llm.train import loop
from app.llm.train.config import TrainConfig
from app.llm.train.losses import class_loss, next_token_loss
from tests.book_gpt import BatchTask, LoadedBatches, Trace

TINY = ModelConfig(50257, 120, 12, 2, 1)
"""The network of the book's own tests of chapters 6 and 7."""
PAD = 50256


@pytest.fixture(scope="module")
def tokenizer(assets: Path) -> Tokenizer:
    return load("gpt2", assets / "tiktoken")


def run(
    task: BatchTask, validation: LoadedBatches, steps: int, rate: float, every: int | None, **changes: Any
) -> Trace:
    """Train as the book does, at one rate and without clipping, and evaluate as it does."""
    settings = dict(max_steps=steps, learning_rate=rate, min_learning_rate=rate, grad_clip=None)
    trace = Trace(task.model, every, changes.pop("batches", 1), task.batches, validation, task.batch_loss)
    loop.train(task, TrainConfig(**{**settings, **changes}), trace)
    return trace


def test_appendix_as_first_network(golden, monkeypatch):
    """Plain gradient descent, as the appendix does it, in the place of the loop's AdamW."""
    monkeypatch.setattr(loop, "make_optimizer", lambda weights, config: torch.optim.SGD(weights, config.learning_rate))
    fact = golden("appA.toy.train")
    features = torch.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
    labels = torch.tensor([0, 0, 0, 1, 1])
    torch.manual_seed(fact["inputs"]["seed"])
    model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 20), nn.ReLU(), nn.Linear(20, 2))
    batches = LoadedBatches(list(zip(features, labels, strict=True)), 2, shuffle=True)
    task = BatchTask(model, batches, lambda batch: class_loss(model(batch[0]), batch[1]))
    trace = run(task, batches, steps=6, rate=0.5, every=None)
    losses = [report.loss for report in trace.reports[1:]]
    assert losses == pytest.approx(fact["expected"]["losses"], abs=fact["tolerance"])
    right = (model(features).argmax(1) == labels).float().mean().item()
    assert right == fact["expected"]["accuracy"]


def token_loss(model: Transformer, batch: tuple[Tensor, Tensor]) -> Tensor:
    inputs, targets = batch
    return next_token_loss(model.hidden(inputs), targets, model.output.weight)


def test_a_tiny_network_is_evaluated_as_often_as_in_the_book(golden, verdict, tokenizer):
    """Chapter 5's script: an epoch in batches of 2 windows of 12 tokens, evaluated every 5 steps."""
    cut_at = int(0.9 * len(verdict))
    parts = [Windows(torch.tensor(tokenizer.encode(text)), 12, 12) for text in (verdict[:cut_at], verdict[cut_at:])]
    torch.manual_seed(123)
    model = book_network(ModelConfig(50257, 12, 32, 4, 2, drop_rate=0.1))
    train, validation = LoadedBatches(parts[0], 2, shuffle=True), LoadedBatches(parts[1], 2, shuffle=False)
    trace = run(BatchTask(model, train, partial(token_loss, model)), validation, len(train), 5e-4, every=5)
    assert len(trace.rows) == golden("ch05.train.tiny.count")["expected"]
    assert trace.rows[-1][1] < trace.rows[0][1] - 1.0


def check_smoke(golden: Callable[[str], dict[str, Any]], fact: str, trace: Trace) -> None:
    expected = golden(fact)["expected"]
    first, *_, last = trace.rows
    assert [round(loss, 1) for loss in first[1:]] == [expected["train_rounded1"], expected["val_rounded1"]]
    assert last[1] < first[1]


@pytest.fixture(scope="module")
def spam(shared_file: Callable[[str], Path], tokenizer: Tokenizer) -> list[list[tuple[Tensor, Tensor]]]:
    """The first five messages to learn from and to validate with, as ids of the longest's length."""
    with shared_file("SMSSpamCollection.tsv").open(encoding="utf-8", newline="") as lines:
        messages = read_labelled(lines)
    parts = cut(shuffled([messages[number] for number in balanced(messages, 123)], 123), 0.7, 0.1)
    train, validation = (encode_labelled(part, tokenizer, ("ham", "spam")) for part in parts[:2])
    joined = (join_labelled(rows[:5], longest(train), PAD) for rows in (train, validation))
    return [list(zip(*pair, strict=True)) for pair in joined]


def fresh_classifier() -> Classifier:
    torch.manual_seed(123)
    body = book_network(TINY)
    torch.manual_seed(123)
    return Classifier(body, 2)


def classify(classifier: Classifier, spam: list[Any], steps: int, decay: float) -> Trace:
    torch.manual_seed(123)
    train, validation = (LoadedBatches(rows, 5, shuffle=False) for rows in spam)
    task = BatchTask(classifier, train, lambda batch: class_loss(classifier(batch[0]), batch[1]))
    return run(task, validation, steps, 5e-5, every=1, weight_decay=decay)


def test_chapter_6s_smoke_test(golden, spam):
    assert golden("ch06.smoke")["inputs"]["seed"] == 123
    classifier = fresh_classifier()
    classifier.let_learn("last_block")
    check_smoke(golden, "ch06.smoke", classify(classifier, spam, steps=5, decay=0.0))


def test_appendix_es_smoke_test(golden, spam):
    """The last block and the final norm learn beside what LoRA added."""
    assert golden("appE.smoke")["inputs"]["seed"] == 123
    classifier = fresh_classifier()
    apply_lora(classifier, LoRAConfig(rank=16, alpha=16.0))
    for part in (classifier.body.blocks[-1], classifier.body.final_norm):
        part.requires_grad_(True)
    check_smoke(golden, "appE.smoke", classify(classifier, spam, steps=6, decay=0.1))


def test_chapter_7s_smoke_test(golden, shared_file, tokenizer):
    fact = golden("ch07.smoke")
    entries = read_instructions(json.loads(shared_file("instruction-data.json").read_text()))
    train, _, validation = (encode_instructions(part[:15], tokenizer) for part in cut(entries, 0.85, 0.1))
    torch.manual_seed(fact["inputs"]["seed"])
    model = book_network(TINY)
    torch.manual_seed(fact["inputs"]["seed"])
    join = partial(join_instructions, end_id=PAD, max_length=100)
    loader = partial(LoadedBatches, batch_size=8, collate_fn=join)
    task = BatchTask(model, loader(train, shuffle=True), partial(token_loss, model))
    trace = run(task, loader(validation, shuffle=False), steps=10, rate=5e-5, every=5, batches=5)
    check_smoke(golden, fact["id"], trace)
