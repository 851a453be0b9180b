"""What the datasets of fine-tuning share: parts, batches of rows of different lengths, padding. Knows no text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor

from app.llm.data.order import EpochOrder
from app.llm.errors import BadExample, DatasetTooShort

IGNORED = -100
"""A target that does not count, as in `F.cross_entropy`."""

Row = TypeVar("Row")
Batch = TypeVar("Batch")


class Parts(NamedTuple, Generic[Row]):
    """A dataset cut in three, in order."""

    first: Sequence[Row]
    second: Sequence[Row]
    rest: Sequence[Row]


def cut(rows: Sequence[Row], first: float, second: float) -> Parts[Row]:
    """The share `first` of the rows, the share `second` after it, and what is left; shares are rounded down."""
    end = int(len(rows) * first)
    after = end + int(len(rows) * second)
    return Parts(rows[:end], rows[end:after], rows[after:])


class ExampleBatches(Sequence[Batch], Generic[Row, Batch]):
    """The batch of each step of a run, a pure function of (seed, step): rows in an epoch's order, made one by `join`.

    As `Batches` does for windows: rows left over at an epoch's end are dropped, or with `drop_last=False` make a
    smaller batch; the orders are those of `EpochOrder`; without a seed nothing is shuffled.
    """

    def __init__(
        self,
        rows: Sequence[Row],
        join: Callable[[Sequence[Row]], Batch],
        batch_size: int,
        seed: int | None,
        *,
        drop_last: bool = True,
    ) -> None:
        """See `rows` in batches; fewer than `batch_size` make one smaller batch an epoch.

        Raises:
            DatasetTooShort: there is no row.
        """
        if not rows:
            raise DatasetTooShort("there is no example to make a batch of")
        self._rows, self._join = rows, join
        self.batch_size = min(batch_size, len(rows))
        self._drop_last = drop_last
        self._order = EpochOrder(len(rows), seed)

    def __len__(self) -> int:
        """Batches an epoch."""
        whole, left = divmod(len(self._rows), self.batch_size)
        return whole if self._drop_last or not left else whole + 1

    def indices(self, step: int) -> list[int]:
        """Numbers of the rows in the batch of `step`; any step from 0 on, however many epochs that is."""
        epoch, batch = divmod(step, len(self))
        start = batch * self.batch_size
        found: list[int] = self._order.numbers(epoch, start, start + self.batch_size).tolist()
        return found

    def __getitem__(self, step: Any) -> Any:
        return self._join([self._rows[index] for index in self.indices(step)])


def pad(rows: Sequence[Sequence[int]], length: int, filler: int) -> Tensor:
    """Rows of ids as (B, length), int64: what is longer is cut at its end, what is shorter filled up there."""
    padded = torch.full((len(rows), length), filler, dtype=torch.int64)
    for target, row in zip(padded, rows, strict=True):
        kept = torch.tensor(row[:length], dtype=torch.int64)
        target[: len(kept)] = kept
    return padded


def checked_text(value: object, field: str, number: int, *, may_be_empty: bool = False) -> str:
    """The value, if it is text that a tokenizer can take.

    Raises:
        BadExample: it is no string, blank where it may not be, or holds what UTF-8 cannot.
    """
    if not isinstance(value, str):
        raise BadExample(number, f"{field} must be text, not {type(value).__name__}")
    if not (may_be_empty or value.strip()):
        raise BadExample(number, f"{field} is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadExample(number, f"{field} holds half a surrogate pair") from None
    return value
