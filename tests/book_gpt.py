"""The book's runs on our network and our loop, with torch's own loader and the book's evaluations.

The book leaves torch's default starting values as they are (ours are GPT-2's) and takes loader, dropout and weights
from one generator. A run that draws in its order gives its numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from app.llm.config import ModelConfig
from app.llm.train.loop import Report, TrainState

GPT_124M = ModelConfig(50257, 256, 768, 12, 12, drop_rate=0.1)
"""Chapter 5's, with the context of 256 that it trains with."""


class LoadedBatches:
    """Batches of torch's own loader, asked for in order: unlike ours they draw from the global generator."""

    def __init__(self, rows: Sequence[Any], batch_size: int, shuffle: bool, **settings: Any) -> None:
        self.loader: DataLoader[Any] = DataLoader(rows, batch_size, shuffle=shuffle, drop_last=shuffle, **settings)
        self._epoch: Iterator[Any] = iter(())

    def __len__(self) -> int:
        return len(self.loader)

    def __getitem__(self, step: int) -> Any:
        if step % len(self) == 0:
            self._epoch = iter(self.loader)
        return next(self._epoch)


@dataclass
class BatchTask:
    """What the loop needs to train on batches in order, with a loss of one batch."""

    model: nn.Module
    batches: LoadedBatches
    batch_loss: Callable[[Any], Tensor]

    def batch(self, number: int) -> Any:
        return self.batches[number]

    def loss(self, batch: Any) -> tuple[Tensor, int]:
        return self.batch_loss(batch), 1

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


@dataclass
class Trace:
    """Evaluates as the book does: after the first update and every `every` ones from there, on both loaders."""

    model: nn.Module
    every: int | None  # None: never, so that nothing is drawn for it
    batches: int  # of each loader, at most
    train: LoadedBatches
    validation: LoadedBatches
    loss: Callable[[Any], Tensor]  # of one batch
    rows: list[tuple[int, float, float]] = field(default_factory=list)  # step from 0, train loss, validation loss
    reports: list[Report] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    states: list[TrainState] = field(default_factory=list)

    def check(self) -> None: ...

    def on_report(self, report: Report) -> None:
        self.reports.append(report)
        if self.every and report.step > 0 and (report.step - 1) % self.every == 0:
            self.rows.append((report.step - 1, *self.evaluate()))

    def on_sample(self, step: int, text: str) -> None:
        self.samples.append(text)

    def on_checkpoint(self, state: TrainState) -> None:
        self.states.append(state)

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Mean losses of the first batches of both loaders, each gone through anew."""
        self.model.eval()
        losses = (self._mean(self.train), self._mean(self.validation))
        self.model.train()
        return losses

    def _mean(self, batches: LoadedBatches) -> float:
        epoch = iter(batches.loader)
        values = [self.loss(next(epoch)).item() for _ in range(min(self.batches, len(batches)))]
        return sum(values) / len(values)
