"""Sliding windows of chapter 2 over token ids, and the batch of any step. Knows no text, no file, no tokenizer."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from app.llm.data.order import EpochOrder
from app.llm.errors import BadConfig, DatasetTooShort

Ids = Tensor | npt.NDArray[Any]
"""Token ids in order, one dimension; a memory-mapped array costs no memory until a window is read."""


def window_count(tokens: int, max_length: int, stride: int) -> int:
    """How many windows a text of `tokens` ids has: the book's `range(0, tokens - max_length, stride)`."""
    return len(range(0, tokens - max_length, stride))


class Windows(Sequence[tuple[Tensor, Tensor]]):
    """Inputs of `max_length` ids, every `stride` ids, each with its targets: the same ids one place on (chapter 2)."""

    def __init__(self, ids: Ids, max_length: int, stride: int) -> None:
        """See `ids` through windows; nothing is copied.

        Raises:
            DatasetTooShort: there is no window, as one needs `max_length` + 1 ids.
        """
        if window_count(len(ids), max_length, stride) == 0:
            raise DatasetTooShort(
                f"{len(ids)} tokens hold no window: {max_length} inputs and the target after them need {max_length + 1}"
            )
        self.ids = ids
        self.max_length = max_length
        self.stride = stride

    def __len__(self) -> int:
        return window_count(len(self.ids), self.max_length, self.stride)

    def __getitem__(self, index: Any) -> Any:
        """Input and target of window `index`, (T,) each, int64.

        Raises:
            IndexError: there is no such window (it is what ends an iteration, too).
        """
        start = range(0, len(self.ids) - self.max_length, self.stride)[index]
        ids = self.ids[start : start + self.max_length + 1]
        ids = ids.long() if isinstance(ids, Tensor) else torch.from_numpy(ids.astype(np.int64))
        return ids[:-1], ids[1:]

    def place(self, index: int) -> tuple[int, int]:
        """Of which text window `index` is, and the how-manieth window of it, both from 0: there is one text."""
        return 0, index


class Mixture(Sequence[tuple[Tensor, Tensor]]):
    """Windows of several texts, each text with its share of an epoch, whatever its length.

    An epoch has as many windows as all texts together. Of a text whose share is more than it has, windows come
    again; of one whose share is less, windows are taken at even distances.
    """

    def __init__(self, parts: Sequence[Windows], weights: Sequence[float]) -> None:
        total = sum(len(part) for part in parts)
        self.parts = parts
        self.ends = [round(total * share / sum(weights)) for share in accumulate(weights)]
        """Of each text, the number of the first window behind its own."""

    def __len__(self) -> int:
        return self.ends[-1]

    def __getitem__(self, index: Any) -> Any:
        """Input and target of window `index`, (T,) each, int64."""
        which, number = self.place(range(len(self))[index])
        return self.parts[which][number]

    def place(self, index: int) -> tuple[int, int]:
        """Of which text window `index` is, and the how-manieth window of it, both from 0."""
        which = bisect_right(self.ends, index)
        start = self.ends[which - 1] if which else 0
        part, slot, slots = self.parts[which], index - start, self.ends[which] - start
        return which, slot % len(part) if slots >= len(part) else slot * len(part) // slots


class Batches(Sequence[tuple[Tensor, Tensor]]):
    """The batch of each step of a run, a pure function of (seed, step), so that a resumed run needs no loader state.

    An epoch goes through all windows in a new order; those left over at its end are dropped, as the book's
    loader does, or with `drop_last=False` make a smaller batch. Fewer windows than `batch_size` make one smaller
    batch an epoch. The orders are those of `EpochOrder`: up to `order.LARGE` windows, of `DataLoader(shuffle=True)`
    made right after `torch.manual_seed(seed)`; without a seed nothing is shuffled.
    """

    def __init__(
        self, windows: Windows | Mixture, batch_size: int, seed: int | None, *, drop_last: bool = True
    ) -> None:
        self.windows = windows
        self.batch_size = min(batch_size, len(windows))
        self.drop_last = drop_last
        self.order = EpochOrder(len(windows), seed)
        self._part = (0, 1)

    def part(self, number: int, count: int) -> Batches:
        """Part `number` of `count` equal ones of every batch: together they are the batches.

        Raises:
            BadConfig: they cannot be divided so.
        """
        if self.batch_size % count or not self.drop_last:
            raise BadConfig("batch_size", f"batches of {self.batch_size} windows cannot be divided into {count} parts")
        part = copy(self)
        part._part = (number, count)
        return part

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, left = divmod(len(self.windows), self.batch_size)
        return whole if self.drop_last or not left else whole + 1

    def indices(self, step: int) -> list[int]:
        """Numbers of the windows in the batch of `step`, or in its part; any step from 0 on, in whatever epoch."""
        epoch, batch = divmod(step, len(self))
        start = batch * self.batch_size
        found: list[int] = self.order.numbers(epoch, start, start + self.batch_size).tolist()
        number, count = self._part
        size = len(found) // count
        return found if count == 1 else found[number * size : (number + 1) * size]

    def __getitem__(self, step: Any) -> Any:
        """Inputs and targets of `step`, (B, T) each, int64."""
        pairs = [self.windows[index] for index in self.indices(step)]
        return torch.stack([pair[0] for pair in pairs]), torch.stack([pair[1] for pair in pairs])
