"""Direct preference optimisation (the book's bonus to chapter 7): pairs of answers, and the network as it was.

What the frozen network thinks of an answer never changes: it is asked once a row, one row at a time, so that a
resumed run, which has to ask anew, hears the same to the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.llm.data.examples import IGNORED, ExampleBatches
from app.llm.data.taught import TaughtIds, TaughtPair
from app.llm.data.taught_batches import join_taught
from app.llm.model.transformer import Transformer
from app.llm.train.config import PreferenceConfig
from app.llm.train.losses import LOGITS_AT_ONCE
from app.llm.train.preference_loss import Judged, PreferenceLoss, answer_log_probabilities, preference_loss
from app.llm.train.pretrain import choose_trainable

Check = Callable[[], None]
Reference = Callable[[], AbstractContextManager[Transformer]]
"""The network that the run starts from, frozen and in evaluation mode, as long as the context is open: a copy, or the
one that learns with its adapters off."""
PAD = 0
FIGURES = ("margin", "val_accuracy", "kl", "chosen_reward", "rejected_reward")


@dataclass(frozen=True)
class PairBatch:
    """Pairs on the network's device, the chosen answers first: ids and targets, (2B, T)."""

    rows: Sequence[TaughtPair]
    inputs: Tensor
    targets: Tensor


class Preferring:
    """What the loop needs to have a network prefer some answers to others."""

    def __init__(
        self,
        model: Transformer,
        reference: Reference,
        config: PreferenceConfig,
        parts: tuple[Sequence[TaughtPair], Sequence[TaughtPair]],
        seed: int,
        write: Callable[[Check], str],
    ) -> None:
        """Choose the weights that learn.

        Args:
            model: on the device to train on.
            parts: to learn from, and to measure on; each answer has something that counts.
            write: answers to prompts that stay the same; calls what it is given between tokens.
        """
        choose_trainable(model, config)
        self.model = model
        self._config, self._write = config, write
        learnt, self._held_out = parts
        self._device = model.token_embedding.weight.device
        self._open_reference = reference
        self._known: dict[int, tuple[Tensor, Tensor]] = {}  # by row: objects that live as long as the run
        self.figures: dict[str, float] = {}
        """Of the last evaluation, by the names in `FIGURES`."""
        self.batches: ExampleBatches[TaughtPair, PairBatch] = ExampleBatches(
            learnt, self._joined, config.batch_size, seed
        )

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        return {}

    def batch(self, number: int) -> PairBatch:
        found: PairBatch = self.batches[number]
        return found

    def loss(self, batch: PairBatch) -> tuple[Tensor, int]:
        judged = self._judged(self.model.hidden(batch.inputs), batch.targets, _head(self.model))
        return self._compared(judged, batch.rows).loss, batch.inputs.numel()

    def training_loss(self, _check: Check) -> float | None:
        return None  # only the book's order measures on what is learnt from

    def validation_loss(self, check: Check) -> float | None:
        """Mean over the pairs that are kept back; the other figures are taken along."""
        size = self._config.batch_size
        rows = sorted(self._held_out[: self._config.eval_batches * size], key=len)
        if not rows:
            return None
        sums = dict.fromkeys(("loss", *FIGURES), 0.0)
        tokens = 0
        for start in range(0, len(rows), size):
            batch = self._joined(rows[start : start + size])
            found, drift, counted = self._measured(batch)
            for name, value in found.items():
                sums[name] += value * len(batch.rows)
            sums["kl"] += drift
            tokens += counted
            check()
        self.figures = {name: sums[name] / (tokens if name == "kl" else len(rows)) for name in FIGURES}
        return sums["loss"] / len(rows)

    def sample(self, check: Check) -> str:
        return self._write(check)

    def _measured(self, batch: PairBatch) -> tuple[dict[str, float], float, int]:
        """Means over the batch's pairs; the summed divergence of its answers' tokens, and how many they are."""
        hidden = self.model.hidden(batch.inputs)
        loss = self._compared(self._judged(hidden, batch.targets, _head(self.model)), batch.rows)
        with self._open_reference() as before:
            drift = divergence(hidden, before.hidden(batch.inputs), batch.targets, (_head(self.model), _head(before)))
        won = (loss.chosen_reward > loss.rejected_reward).double().mean().item()
        found = {
            "loss": loss.loss.item(),
            "margin": loss.margin.item(),
            "val_accuracy": won,
            "chosen_reward": loss.chosen_reward.mean().item(),
            "rejected_reward": loss.rejected_reward.mean().item(),
        }
        return found, drift, int((batch.targets != IGNORED).sum())

    def _compared(self, policy: Judged, rows: Sequence[TaughtPair]) -> PreferenceLoss:
        known = [self._before(row) for row in rows]
        reference = Judged(*(torch.stack(each).to(self._device) for each in zip(*known, strict=True)))
        return preference_loss(policy, reference, self._config.beta)

    def _before(self, row: TaughtPair) -> tuple[Tensor, Tensor]:
        """What the reference thinks of a row's answers."""
        if id(row) not in self._known:
            batch = self._joined([row])
            with torch.no_grad(), self._open_reference() as network:
                judged = self._judged(network.hidden(batch.inputs), batch.targets, _head(network))
            self._known[id(row)] = judged.chosen[0].cpu(), judged.rejected[0].cpu()
        return self._known[id(row)]

    def _judged(self, hidden: Tensor, targets: Tensor, head: Tensor) -> Judged:
        found = answer_log_probabilities(hidden, targets, head)
        if self._config.log_probability == "sum":
            found = found * (targets != IGNORED).sum(-1)
        chosen, rejected = found.chunk(2)
        return Judged(chosen, rejected)

    def _joined(self, rows: Sequence[TaughtPair]) -> PairBatch:
        answers: list[TaughtIds] = [*(row.chosen for row in rows), *(row.rejected for row in rows)]
        inputs, targets = (ids.to(self._device) for ids in join_taught(answers, PAD))
        return PairBatch(rows, inputs, targets)


@torch.no_grad()
def divergence(policy: Tensor, reference: Tensor, targets: Tensor, heads: tuple[Tensor, Tensor]) -> float:
    """Kullback–Leibler divergence of the policy from the reference, exactly, summed over the tokens that count.

    Args:
        policy: states after the final norm, (B, T, E); `reference` likewise.
        heads: of each, (V, E).
    """
    counts = targets.flatten() != IGNORED  # (B * T,)
    chosen, before = policy.flatten(0, 1)[counts], reference.flatten(0, 1)[counts]  # (N, E)
    sums = []
    for rows in _pieces(len(chosen), heads[0].size(0)):
        ours, theirs = (
            F.log_softmax(F.linear(states[rows], head.to(states.dtype)).float(), dim=-1)
            for states, head in zip((chosen, before), heads, strict=True)
        )  # (n, V)
        sums.append((ours.exp() * (ours - theirs)).sum().item())
    return math.fsum(sums)


def _pieces(count: int, vocab_size: int) -> Iterator[slice]:
    rows = max(1, LOGITS_AT_ONCE // vocab_size)
    return (slice(start, start + rows) for start in range(0, count, rows))


def _head(network: Transformer) -> Tensor:
    return network.token_embedding.weight if network.config.tied else network.output.weight
