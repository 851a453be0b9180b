"""Batches whose rows have about one length, so that little is padding. Knows no text."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Generic, TypeVar

import torch

from app.llm.data.examples import Batch, ExampleBatches

POOL_BATCHES = 16
"""Batches whose rows are sorted by length among each other: enough that little is padding, few enough for chance."""

SizedRow = TypeVar("SizedRow", bound=Sized)


class BatchesByLength(ExampleBatches[SizedRow, Batch], Generic[SizedRow, Batch]):
    """As `ExampleBatches`, but a batch has rows of about one length, so that little of it is padding.

    Rows come in the epoch's order; of each `POOL_BATCHES` batches they are sorted by length, and the batches mixed.
    """

    def __init__(
        self, rows: Sequence[SizedRow], join: Callable[[Sequence[SizedRow]], Batch], batch_size: int, seed: int
    ) -> None:
        super().__init__(rows, join, batch_size, seed)
        self._seed = seed
        self._pools: tuple[tuple[int, int], list[list[int]]] | None = None  # the one that was asked for last

    def indices(self, step: int) -> list[int]:
        epoch, batch = divmod(step, len(self))
        pool, place = divmod(batch, POOL_BATCHES)
        if self._pools is None or self._pools[0] != (epoch, pool):
            self._pools = (epoch, pool), self._pool(epoch, pool)
        return self._pools[1][place]

    def _pool(self, epoch: int, pool: int) -> list[list[int]]:
        first = pool * POOL_BATCHES
        count = min(POOL_BATCHES, len(self) - first)
        start = first * self.batch_size
        numbers: list[int] = self._order.numbers(epoch, start, start + count * self.batch_size).tolist()
        numbers.sort(key=lambda number: len(self._rows[number]))  # stable: of one length, in the epoch's order
        batches = [numbers[at : at + self.batch_size] for at in range(0, len(numbers), self.batch_size)]
        generator = torch.Generator().manual_seed((self._seed + 1_000_003 * epoch + pool) % 2**63)
        return [batches[at] for at in torch.randperm(count, generator=generator).tolist()]
