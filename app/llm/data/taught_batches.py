"""Dialogues as inputs and targets, and in batches of like lengths. Knows no text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from app.llm.data.examples import IGNORED, Batch, ExampleBatches, pad
from app.llm.data.taught import TaughtIds

POOL_BATCHES = 16
"""Batches whose rows are sorted by length among each other: enough that little is padding, few enough for chance."""


def join_taught(rows: Sequence[TaughtIds], pad_id: int, length: int | None = None) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (B, T) each, int64; T is the longest row's length where none is given.

    Targets are the ids one place on; what is not learnt, or is no token of the row, is `IGNORED`. Inputs are filled
    up with `pad_id`, which no token before it sees.
    """
    length = max(map(len, rows)) if length is None else length
    targets = [
        [id_ if learnt else IGNORED for id_, learnt in zip(row.ids[1:], row.learnt[1:], strict=True)] for row in rows
    ]
    return pad([row.ids[:-1] for row in rows], length, pad_id), pad(targets, length, IGNORED)


class BatchesByLength(ExampleBatches[TaughtIds, Batch]):
    """As `ExampleBatches`, but a batch has rows of about one length, so that little of it is padding.

    Rows come in the epoch's order; of each `POOL_BATCHES` batches they are sorted by length, and the batches mixed.
    """

    def __init__(
        self, rows: Sequence[TaughtIds], join: Callable[[Sequence[TaughtIds]], Batch], batch_size: int, seed: int
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
