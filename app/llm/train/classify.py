"""The recipe of chapter 6: labelled texts, a head of classes, cross entropy. All weights learn, or a part of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from app.llm.class_report import verdicts
from app.llm.config import ClassifierConfig
from app.llm.data.batches_by_length import BatchesByLength
from app.llm.data.examples import ExampleBatches, pad
from app.llm.data.labelled import LabelledIds, longest, places_read
from app.llm.model.classifier import Classifier
from app.llm.model.lora import let_lora_learn
from app.llm.train.config import ClassifyConfig
from app.llm.train.frozen import FrozenStates
from app.llm.train.losses import class_loss

SHOWN = 3
MEASURED_AT_ONCE = 32


@dataclass(frozen=True)
class TextsOfClasses:
    """A batch on the network's device: ids (B, T), or where the rest is frozen what enters the last block (B, T, E)."""

    states: Tensor
    places: Tensor  # of the token that is read, (B,)
    labels: Tensor  # class numbers, (B,)


class Classification:
    """What the loop needs to teach a network classes."""

    def __init__(
        self,
        model: Classifier,
        shape: ClassifierConfig,
        config: ClassifyConfig,
        parts: tuple[Sequence[LabelledIds], Sequence[LabelledIds]],
        seed: int,
        shown: Callable[[LabelledIds], str],
    ) -> None:
        """Choose the weights that learn.

        Args:
            model: on the device to train on.
            parts: to learn from, and to measure on.
            shown: a text of its ids, for samples.
        """
        if config.lora is None:
            model.let_learn(config.trainable)
        else:
            let_lora_learn(model)
            if isinstance(model.head, nn.Linear):  # drawn anew, it learns whole where nothing stands beside it
                model.head.requires_grad_(True)
        self.model = model
        self._shape, self._config, self._shown = shape, config, shown
        self._learnt, self._held_out = parts
        self._device = model.body.token_embedding.weight.device
        self._accuracies: dict[str, float] = {}
        remembers = config.lora is None and config.trainable != "all" and model.body.config.drop_rate == 0.0
        self._frozen = FrozenStates(model.body) if remembers else None
        self._learning = torch.compile(self._logits) if config.compile else self._logits
        batches = BatchesByLength if config.batching == "by_length" else ExampleBatches
        self.batches: ExampleBatches[LabelledIds, TextsOfClasses] = batches(
            self._learnt, self._joined, config.batch_size, seed
        )

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        return {}

    @property
    def figures(self) -> Mapping[str, float]:
        """Shares told rightly, of what is learnt from and of what is kept back, when that was measured last."""
        return self._accuracies

    def batch(self, number: int) -> TextsOfClasses:
        found: TextsOfClasses = self.batches[number]
        return found

    def loss(self, batch: TextsOfClasses) -> tuple[Tensor, int]:
        tokens = batch.states.size(0) * batch.states.size(1)
        return class_loss(self._learning(batch), batch.labels), tokens

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        rows = self._held_out[: self._config.eval_batches * self._config.batch_size]
        return self._measured("val_accuracy", rows, check)

    def training_loss(self, check: Callable[[], None]) -> float | None:
        """Of as many texts that are learnt from as are kept back; None where none are."""
        most = min(len(self._held_out), self._config.eval_batches * self._config.batch_size)
        return self._measured("accuracy", self._learnt[:most], check)

    def _measured(self, figure: str, rows: Sequence[LabelledIds], check: Callable[[], None]) -> float | None:
        """Their mean loss; which share of them is told rightly is kept as a figure."""
        if not rows:
            return None
        chances, labels = self.probabilities(rows, check), [row.label for row in rows]
        self._accuracies[figure] = float(np.mean(verdicts(chances) == labels))
        return float(-np.log(chances[np.arange(len(rows)), labels]).mean())

    def sample(self, check: Callable[[], None]) -> str:
        """How many of the texts that are kept back are told rightly, and the first of them with their verdicts."""
        rows = self._held_out or self._learnt[: self._config.batch_size]
        chances = self.probabilities(rows, check)
        told = verdicts(chances)
        right = int(np.sum(told == [row.label for row in rows]))
        shown = [
            f"{self._shape.classes[number]} ({its[number]:.0%}): {self._shown(row)}"
            for row, its, number in list(zip(rows, chances, told.tolist(), strict=True))[:SHOWN]
        ]
        return "\n".join([f"{right} of {len(rows)} right ({right / len(rows):.1%})", *shown])

    @torch.no_grad()
    def probabilities(self, rows: Sequence[LabelledIds], check: Callable[[], None]) -> NDArray[np.float64]:
        """Of each row and class, (N, C); the model should be in evaluation mode."""
        found = []
        for start in range(0, len(rows), MEASURED_AT_ONCE):
            check()
            batch = self._joined(rows[start : start + MEASURED_AT_ONCE])
            found.append(self._logits(batch).double().softmax(-1).cpu().numpy())
        joined: NDArray[np.float64] = np.concatenate(found)
        return joined

    def _logits(self, batch: TextsOfClasses) -> Tensor:
        body = self.model.body
        hidden = body.hidden(batch.states) if self._frozen is None else body.from_last_block(batch.states)
        return self.model.classes_of(hidden, batch.places)

    def _joined(self, rows: Sequence[LabelledIds]) -> TextsOfClasses:
        """A batch is as long as its longest text, but not where the last place is read: what fills texts up counts."""
        most = self._shape.max_tokens
        length = most if self._shape.reads == "last_place" else min(most, longest(rows))
        ids = pad([row.ids for row in rows], length, self._shape.pad_id).to(self._device)
        places = places_read(rows, self._shape.reads, length).to(self._device)
        labels = torch.tensor([row.label for row in rows], device=self._device)
        if self._frozen is None:
            return TextsOfClasses(ids, places, labels)
        # What fills a text up is its own only where that is read: elsewhere it is as long as the others of its batch.
        ends = [length if self._shape.reads == "last_place" else len(row.ids) for row in rows]
        keys = [id(row) for row in rows]  # of objects that live as long as the run
        own = [its[:end] for its, end in zip(ids, ends, strict=True)]
        return TextsOfClasses(self._frozen.of(keys, own), places, labels)
