"""The recipe of word2vec: skip-grams with negative sampling (Mikolov et al. 2013), out of chapter 2's windows.

A word and those around it are a window of twice `window` tokens and the one after them, its middle the word; so the
windows, their order and their mixtures are those of every recipe. All chance is a function of seed and step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.llm.data.windows import Batches, Ids, Mixture, Windows
from app.llm.evaluate import mean_loss
from app.llm.model.word_vectors import WordVectors
from app.llm.train.config import SkipGramConfig
from app.llm.vectors import nearest

NOISE_POWER = 0.75
SHOWN_WORDS, SHOWN_NEIGHBOURS = 5, 5
_COUNTED_AT_ONCE = 1 << 20
_TRAIN, _VALIDATION = 0, 1

Shares = npt.NDArray[np.float64]


def shares_of_words(batches: Batches, vocab_size: int, check: Callable[[], None]) -> Shares:
    """How much of what is read is which word, (V,); counted in pieces, `check` called between them."""
    windows = batches.windows
    parts, ends = (windows.parts, windows.ends) if isinstance(windows, Mixture) else ([windows], [len(windows)])
    shares = np.zeros(vocab_size)
    for part, slots in zip(parts, np.diff(ends, prepend=0).tolist(), strict=True):
        shares += _counts(part, vocab_size, check) / len(part.ids) * (slots / len(windows))
    return shares


def _counts(part: Windows, vocab_size: int, check: Callable[[], None]) -> npt.NDArray[np.int64]:
    counts = np.zeros(vocab_size, dtype=np.int64)
    for start in range(0, len(part.ids), _COUNTED_AT_ONCE):
        check()
        counts += np.bincount(_array(part.ids[start : start + _COUNTED_AT_ONCE]), minlength=vocab_size)
    return counts


def _array(ids: Ids) -> npt.NDArray[Any]:
    return ids.numpy() if isinstance(ids, Tensor) else np.asarray(ids)


@dataclass(frozen=True)
class Pairs:
    """P pairs of a batch, with K words by chance for each, as ids on the network's device."""

    middle: Tensor  # (P,)
    beside: Tensor  # (P,)
    by_chance: Tensor  # (P, K)
    words: int  # in the middle of a window, some of them left out


class SkipGrams:
    """What the loop needs to learn word vectors."""

    def __init__(
        self,
        model: WordVectors,
        config: SkipGramConfig,
        train: Batches,
        validation: Batches | None,
        shares: Shares,
        word: Callable[[int], str],
        shown: Sequence[int],
    ) -> None:
        """Have all vectors learn.

        Args:
            model: on the device to train on.
            train, validation: of windows of `config.window_length` tokens.
            shares: of each word in the text to learn from, (V,).
            word: an id's text, for samples.
            shown: words whose neighbours samples tell; without any, the most frequent ones.
        """
        self.model = model
        self.config = config
        self._train, self._validation, self._word = train, validation, word
        self._shown = list(shown) or [int(each) for each in np.argsort(-shares, kind="stable")[:SHOWN_WORDS]]
        self._seed = train.order.seed or 0
        with np.errstate(divide="ignore"):
            self._kept = np.minimum(1.0, np.sqrt((config.subsample or np.inf) / shares))  # (V,)
        noise = np.cumsum(shares**NOISE_POWER)
        self._noise = noise / noise[-1]  # (V,): up to which share of all chance a word and those before it go
        self._device = model.token_embedding.weight.device
        # Of another number of pairs each time: one program for any number.
        self._learnt = torch.compile(model.loss, dynamic=True) if config.compile else model.loss

    @property
    def generators(self) -> Mapping[str, torch.Generator]:
        return {}

    @property
    def figures(self) -> Mapping[str, float]:
        return {}

    def batch(self, number: int) -> Pairs:
        return self._batch(self._train, _TRAIN, number)

    def loss(self, batch: Pairs) -> tuple[Tensor, int]:
        return self._learnt(batch.middle, batch.beside, batch.by_chance), batch.words

    def training_loss(self, check: Callable[[], None]) -> float | None:
        check()
        return None

    def validation_loss(self, check: Callable[[], None]) -> float | None:
        if self._validation is None:
            return None
        numbers = range(min(self.config.eval_batches, len(self._validation)))
        batches = (self._batch(self._validation, _VALIDATION, number) for number in numbers)
        losses = (self.model.loss(batch.middle, batch.beside, batch.by_chance) for batch in batches)
        return mean_loss(losses, check)

    def sample(self, check: Callable[[], None]) -> str:
        """The words nearest to some words, a line each."""
        check()
        table = self.model.token_embedding.weight.detach().cpu()
        found, _ = nearest(table, torch.tensor(self._shown), SHOWN_NEIGHBOURS)
        rows = zip(self._shown, found.tolist(), strict=True)
        return "\n".join(f"{self._word(word)}: {', '.join(map(self._word, near))}" for word, near in rows)

    def _batch(self, batches: Batches, which: int, number: int) -> Pairs:
        inputs, targets = batches[number]  # (B, 2 W) each
        words = torch.cat((inputs, targets[:, -1:]), dim=-1).numpy()  # (B, 2 W + 1)
        pairs = self._pairs(words, np.random.default_rng((self._seed, which, number)))
        middle, beside, by_chance = (torch.from_numpy(ids).to(self._device) for ids in pairs)
        return Pairs(middle, beside, by_chance, len(words))

    def _pairs(self, words: npt.NDArray[np.int64], chance: np.random.Generator) -> tuple[npt.NDArray[np.int64], ...]:
        """Ids of P words in the middle, (P,), of the words beside them, (P,), and of K by chance for each, (P, K).

        A frequent word is left out, in the middle or beside, as often as the paper says. It leaves a gap: windows
        do not grow over it, which makes no difference that Levy, Goldberg and Dagan (2015) could measure.
        """
        middle = self.config.window
        reach = chance.integers(1, middle + 1, size=(len(words), 1))  # (B, 1)
        distance = np.abs(np.arange(words.shape[1]) - middle)  # (2 W + 1,)
        kept = chance.random(words.shape) < self._kept[words]  # (B, 2 W + 1)
        rows, places = np.nonzero(kept & kept[:, middle, None] & (distance > 0) & (distance <= reach))
        drawn = chance.random((len(rows), self.config.negatives))
        by_chance = np.searchsorted(self._noise, drawn, side="right")
        return words[rows, middle], words[rows, places], by_chance.astype(np.int64)
