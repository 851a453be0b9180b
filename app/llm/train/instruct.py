"""The recipe of chapter 7: dialogues, next-token loss on what of them is to be learnt."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.llm.data.batches_by_length import BatchesByLength
from app.llm.data.examples import IGNORED, ExampleBatches
from app.llm.data.taught import TaughtIds
from app.llm.data.taught_batches import join_taught
from app.llm.model.transformer import Transformer
from app.llm.train.config import InstructConfig
from app.llm.train.frozen import FrozenStates
from app.llm.train.losses import next_token_loss
from app.llm.train.pretrain import choose_trainable

Check = Callable[[], None]


@dataclass(frozen=True)
class DialogueBatch:
    """Dialogues on the network's device: ids (B, T), or where the rest is frozen what enters the last block."""

    states: Tensor
    targets: Tensor  # (B, T)


class Instructing:
    """What the loop needs to teach a network to answer."""

    def __init__(
        self,
        model: Transformer,
        config: InstructConfig,
        parts: tuple[Sequence[TaughtIds], Sequence[TaughtIds]],
        seed: int,
        write: Callable[[Check], str],
    ) -> None:
        """Choose the weights that learn.

        Args:
            model: on the device to train on.
            parts: to learn from, and to measure on; each row has something to learn.
            write: answers to prompts that stay the same; calls what it is given between tokens.
        """
        choose_trainable(model, config)
        self.model = model
        self._config, self._write = config, write
        learnt, self._held_out = parts
        self._device = model.token_embedding.weight.device
        self._head = model.token_embedding.weight if model.config.tied else model.output.weight
        remembers = config.trainable == "last_block" and model.config.drop_rate == 0.0
        self._frozen = FrozenStates(model) if remembers else None
        self._forward: Callable[[Tensor], Tensor] = model.from_last_block if remembers else model.hidden
        self._learning = torch.compile(self._forward) if config.compile else self._forward
        batches = BatchesByLength if config.batching == "by_length" else ExampleBatches
        self.batches: ExampleBatches[TaughtIds, DialogueBatch] = batches(learnt, self._joined, config.batch_size, seed)

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        return {}

    @property
    def figures(self) -> Mapping[str, float]:
        return {}

    def batch(self, number: int) -> DialogueBatch:
        found: DialogueBatch = self.batches[number]
        return found

    def loss(self, batch: DialogueBatch) -> tuple[Tensor, int]:
        """The mean over the batch's learnt tokens; padding is counted among those that were read."""
        return self._loss(batch, self._learning), batch.targets.numel()

    def training_loss(self, _check: Check) -> float | None:
        return None  # only the book's order measures on what is learnt from

    def validation_loss(self, check: Check) -> float | None:
        """Mean over all learnt tokens of the rows that are kept back, however they lie in batches."""
        size = self._config.batch_size
        rows = sorted(self._held_out[: self._config.eval_batches * size], key=len)
        sums, counted = [], 0
        for start in range(0, len(rows), size):
            batch = self._joined(rows[start : start + size])
            count = int((batch.targets != IGNORED).sum())
            sums.append(self._loss(batch, self._forward).item() * count)
            counted += count
            check()
        return math.fsum(sums) / counted if rows else None

    def sample(self, check: Check) -> str:
        return self._write(check)

    def _joined(self, rows: Sequence[TaughtIds]) -> DialogueBatch:
        inputs, targets = (ids.to(self._device) for ids in join_taught(rows, PAD))
        if self._frozen is None:
            return DialogueBatch(inputs, targets)
        own = [its[: len(row)] for its, row in zip(inputs, rows, strict=True)]
        return DialogueBatch(self._frozen.of([id(row) for row in rows], own), targets)

    def _loss(self, batch: DialogueBatch, forward: Callable[[Tensor], Tensor]) -> Tensor:
        return next_token_loss(forward(batch.states), batch.targets, self._head)


PAD = 0
"""Stands behind a row's last token, where no token that counts sees it: any id will do."""
