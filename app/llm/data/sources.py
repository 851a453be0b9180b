"""What a mixture takes of each of its texts: tokens and epochs a source, as in GPT-3's table (chapter 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.llm.data.windows import Batches, Mixture, Windows

COUNTED = 1 << 22
"""Windows of a run that are counted one by one, about a second; of what comes after, each text has its share."""
COUNTED_EPOCHS = 1000
_COUNTED_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class SourceUse:
    """One text of a mixture: what there is of it, and what was taken. `epochs` is `tokens_read` / `tokens`."""

    tokens: int
    share: float  # of all tokens read, from 0 to 1
    tokens_read: int
    epochs: float


def planned(sizes: Sequence[int], weights: Sequence[float], tokens: int) -> list[SourceUse]:
    """What is taken of texts of `sizes` tokens when `tokens` are read in shares like `weights`."""
    shares = [weight / sum(weights) for weight in weights]
    return [_use(size, round(tokens * share), tokens) for size, share in zip(sizes, shares, strict=True)]


def used(batches: Batches, steps: int, tokens_a_window: int) -> list[SourceUse]:
    """What the first `steps` batches of a run take of each text.

    Args:
        tokens_a_window: as how many a window counts: those it predicts.
    """
    parts = batches.windows.parts if isinstance(batches.windows, Mixture) else [batches.windows]
    windows = windows_read(batches, steps)
    total = sum(windows) * tokens_a_window
    return [_use(len(part.ids), read * tokens_a_window, total) for part, read in zip(parts, windows, strict=True)]


def windows_read(batches: Batches, steps: int) -> list[int]:
    """How many windows of each text the first `steps` batches have; counted up to `COUNTED`, then by shares."""
    windows = batches.windows
    epochs, rest = divmod(steps, len(batches))
    an_epoch = len(batches) * batches.batch_size if batches.drop_last else len(windows)
    total = epochs * an_epoch + rest * batches.batch_size
    if isinstance(windows, Windows) or len(windows.parts) == 1:
        return [total]
    read = np.zeros(len(windows.parts), dtype=np.int64)
    counted = 0
    for epoch in range(min(epochs + 1, COUNTED_EPOCHS)):
        wanted = min(an_epoch if epoch < epochs else rest * batches.batch_size, COUNTED - counted)
        if wanted == 0:
            break
        for start in range(0, wanted, _COUNTED_AT_ONCE):
            numbers = batches.order.numbers(epoch, start, min(start + _COUNTED_AT_ONCE, wanted))
            which = np.searchsorted(windows.ends, numbers, side="right")
            read += np.bincount(which, minlength=len(read))
        counted += wanted
    slots = np.diff(windows.ends, prepend=0)
    left = np.diff(np.rint((total - counted) * np.cumsum(slots) / len(windows)).astype(np.int64), prepend=0)
    found: list[int] = (read + left).tolist()
    return found


def _use(tokens: int, read: int, all_read: int) -> SourceUse:
    return SourceUse(tokens, read / all_read if all_read else 0.0, read, read / tokens)
