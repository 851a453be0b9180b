"""Batches in the order of the book's loader, drawn from torch's global generator like its weights and its dropout.

`Batches` gives the batch of any step, from the seed alone. Here an epoch's order depends on all that was drawn before
it, as with `DataLoader(shuffle=True)`: to go on, a run needs the global generator's state and that of `shuffle`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from app.llm.data.windows import Batches, Mixture, Windows


class EpochBatches(Batches):
    """The batches of one epoch whose order is known."""

    def __init__(self, windows: Windows | Mixture, batch_size: int, numbers: Tensor) -> None:
        super().__init__(windows, batch_size, seed=None)
        self._numbers = numbers

    def indices(self, step: int) -> list[int]:
        start = step * self.batch_size
        found: list[int] = self._numbers[start : start + self.batch_size].tolist()
        return found


class BookBatches(Batches):
    """The batch of each step, asked for in the order of steps, for only once is each step's chance drawn."""

    def __init__(self, windows: Windows | Mixture, batch_size: int, draws_before: Callable[[int], int]) -> None:
        """See windows in shuffled batches.

        Args:
            draws_before: how many numbers others drew between a step and the one before it: the book's evaluations.
        """
        super().__init__(windows, batch_size, seed=None)
        self.shuffle = torch.Generator()
        """Stands where the order of the present epoch was drawn."""
        self._draws_before = draws_before
        self._step = self._epoch = -1
        self._numbers = torch.empty(0, dtype=torch.int64)

    def indices(self, step: int) -> list[int]:
        if step != self._step:
            self._come_to(step)
        start = step % len(self) * self.batch_size
        found: list[int] = self._numbers[start : start + self.batch_size].tolist()
        return found

    def epoch_anew(self) -> EpochBatches:
        """Another epoch, in an order that is drawn now: what going through the loader once more gives."""
        order = torch.Generator().manual_seed(_epoch_seed())
        return EpochBatches(self.windows, self.batch_size, torch.randperm(len(self.windows), generator=order))

    def _come_to(self, step: int) -> None:
        for _ in range(self._draws_before(step)):
            _draw()
        epoch, batch = divmod(step, len(self))
        if batch == 0:
            self.shuffle.manual_seed(_epoch_seed())
        if epoch != self._epoch:
            order = torch.Generator()
            order.set_state(self.shuffle.get_state())
            self._numbers = torch.randperm(len(self.windows), generator=order)
        self._step, self._epoch = step, epoch


LOADER_DRAWS = 1
"""Numbers that going through a loader draws; one more where it shuffles."""


def _epoch_seed() -> int:
    """What DataLoader seeds its sampler with, after a number for its workers."""
    for _ in range(LOADER_DRAWS):
        _draw()
    return _draw()


def _draw() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())
