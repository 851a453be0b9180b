"""What the lessons' tests share: comparing with a fact of the book, and a training run of a few seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from app.llm.lessons.gpt import GPT
from app.llm.train.config import TrainConfig
from app.llm.train.loop import Report, TrainState, train
from tests.golden_facts import FACTS

Made = TypeVar("Made")
BATCH = torch.tensor(FACTS["ch04.dummy.logits"]["inputs"]["batch"])
"""Chapter 4's two sentences."""


@dataclass(frozen=True)
class Chapter4:
    """The 124M model after `manual_seed(123)`, in evaluation mode; what it said to BATCH before that, with dropout."""

    gpt: GPT
    training_logits: Tensor


def seeded(seed: int, make: Callable[[], Made]) -> Made:
    """What `make` makes right after torch's global generator was seeded, as the book does it."""
    torch.manual_seed(seed)
    return make()


def assert_is(found: Tensor, fact: str, part: str | None = None) -> None:
    """`found` has the values of a fact (or of one part of it) within the fact's tolerance."""
    known = FACTS[fact]
    expected = torch.tensor(known["expected"] if part is None else known["expected"][part])
    tolerance = known["tolerance"] or 0.0
    relative = tolerance["rel"] if isinstance(tolerance, dict) else 0.0
    absolute = 0.0 if isinstance(tolerance, dict) else tolerance
    torch.testing.assert_close(found.detach().to(expected.dtype), expected, rtol=relative, atol=absolute)


def ends(logits: Tensor) -> Tensor:
    """The first and the last three of each row, which is what the book prints."""
    return torch.cat((logits[..., :3], logits[..., -3:]), dim=-1)


@dataclass
class Practice:
    """A task for the loop that is its loss alone."""

    model: nn.Module
    loss_of: Callable[[int], Tensor]

    def batch(self, number: int) -> int:
        return number

    def loss(self, batch: int) -> tuple[Tensor, int]:
        return self.loss_of(batch), 1

    @property
    def generators(self) -> dict[str, torch.Generator]:
        return {}

    @property
    def figures(self) -> dict[str, float]:
        return {}

    def training_loss(self, check: Callable[[], None]) -> float | None:
        return None

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        return None

    def sample(self, check: Callable[[], None]) -> str:
        return ""


class NobodyListens:
    def check(self) -> None: ...

    def on_report(self, report: Report) -> None: ...

    def on_sample(self, step: int, text: str) -> None: ...

    def on_checkpoint(self, state: TrainState) -> None: ...


def practise(model: nn.Module, loss_of: Callable[[int], Tensor], steps: int, **settings: Any) -> float:
    """Train by the service's loop; the last loss. The model is in evaluation mode afterwards."""
    config = TrainConfig(max_steps=steps, eval_every=10**6, sample_every=10**6, checkpoint_every=10**6, **settings)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # networks this small only wait for other threads
    try:
        report = train(Practice(model, loss_of), config, NobodyListens())
    finally:
        torch.set_num_threads(threads)
    model.eval()
    assert report.loss is not None
    return report.loss
