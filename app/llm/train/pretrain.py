"""The recipe of chapter 5: windows of text, next-token loss. Of a trained model all weights learn on, or a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from app.llm.data.book_order import BookBatches
from app.llm.data.windows import Batches
from app.llm.evaluate import mean_loss
from app.llm.model.transformer import Transformer
from app.llm.train.config import AnswerConfig, TrainConfig
from app.llm.train.frozen import FrozenStates
from app.llm.train.losses import next_token_loss


def choose_trainable(model: Transformer, config: TrainConfig | AnswerConfig) -> None:
    """Have the weights that `config.trainable` names learn, and no others.

    `last_block` is the last block and the final norm, and the head where it is not tied to the embedding, as
    chapter 6 does; a tied head stays, for the frozen blocks before were made for its embedding. With `config.lora`
    what stands beside the layers learns, and was chosen when it was put there.
    """
    if config.lora is not None:
        return
    model.requires_grad_(config.trainable == "all")
    if config.trainable == "last_block":
        parts = [model.blocks[-1], model.final_norm] + ([] if model.config.tied else [model.output])
        for part in parts:
            part.requires_grad_(True)


@dataclass(frozen=True)
class TextBatch:
    """Windows on the network's device."""

    inputs: Tensor  # ids, (B, T)
    targets: Tensor  # (B, T)
    keys: list[tuple[int, int]]  # each window's own, to remember its states by; none where nothing is remembered


class Pretraining:
    """What the loop needs to pretrain, or to continue a model on new text."""

    def __init__(
        self,
        model: Transformer,
        config: TrainConfig,
        train: Batches,
        validation: Batches | None,
        write: Callable[[Callable[[], None]], str],
    ) -> None:
        """Choose the weights that learn.

        Args:
            model: on the device to train on.
            validation: read from its first batch on, the same ones each time.
            write: a sample of the model's text; calls what it is given between tokens.
        """
        choose_trainable(model, config)
        self.model = model
        self.config = config
        self._train, self._validation, self._write = train, validation, write
        self._device = model.token_embedding.weight.device
        # Without dropout the frozen blocks give a window the same states in every epoch.
        remembers = config.trainable == "last_block" and model.config.drop_rate == 0.0
        self._frozen = FrozenStates(model) if remembers else None
        self._forward: Callable[[Tensor], Tensor] = model.from_last_block if remembers else model.hidden
        # What is measured and sampled runs as it is: compiling it, too, takes longer than it saves.
        self._learnt = torch.compile(self._forward) if config.compile else self._forward

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        return {"shuffle": self._train.shuffle} if isinstance(self._train, BookBatches) else {}

    @property
    def figures(self) -> Mapping[str, float]:
        return {}

    def batch(self, number: int) -> TextBatch:
        return self._batch(self._train, number)

    def loss(self, batch: TextBatch) -> tuple[Tensor, int]:
        return self._loss(batch, self._learnt), batch.inputs.numel()

    def training_loss(self, check: Callable[[], None]) -> float | None:
        """Of the first batches of an epoch that is drawn for it, as chapter 5 does it.

        What is drawn is put back, so that a run that goes on from here draws the same; the next step draws it again.
        """
        if not isinstance(self._train, BookBatches):
            return None
        with torch.random.fork_rng(devices=[]):
            epoch = self._train.epoch_anew()
            batches = (self._batch(epoch, number) for number in range(min(self.config.eval_batches, len(epoch))))
            return mean_loss((self._loss(batch, self._forward) for batch in batches), check)

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        if self._validation is None:
            return None
        numbers = range(min(self.config.eval_batches, len(self._validation)))
        batches = (self._batch(self._validation, number) for number in numbers)
        return mean_loss((self._loss(batch, self._forward) for batch in batches), check)

    def sample(self, check: Callable[[], None]) -> str:
        return self._write(check)

    def _batch(self, batches: Batches, number: int) -> TextBatch:
        inputs, targets = (ids.to(self._device) for ids in batches[number])  # (B, T)
        keys = [(id(batches), index) for index in batches.indices(number)] if self._frozen is not None else []
        return TextBatch(inputs, targets, keys)

    def _loss(self, batch: TextBatch, forward: Callable[[Tensor], Tensor]) -> Tensor:
        states = batch.inputs if self._frozen is None else self._frozen.of(batch.keys, batch.inputs)  # (B, T, E)
        hidden = forward(states)  # (B, T, E)
        # Asked for each time: where processes divide the weights, this one is whole only now and then.
        head = self.model.token_embedding if self.model.config.tied else self.model.output
        return next_token_loss(hidden, batch.targets, head.weight)
