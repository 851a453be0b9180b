"""The learning rate at a step: linear warm-up, then a cosine (appendix D). Knows no optimizer."""

from __future__ import annotations

import math


def learning_rate(
    step: int, *, total_steps: int, peak: float, minimum: float = 0.0, warmup_steps: int = 0, initial: float = 0.0
) -> float:
    """The rate of the update number `step`, counted from 0.

    It rises in a line from `initial` to `peak` during the warm-up, then falls along half a cosine towards
    `minimum`, which it would reach at `total_steps`. With minimum = peak and no warm-up it is constant.
    """
    if step < warmup_steps:
        return initial + step * (peak - initial) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return minimum + (peak - minimum) * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))


def warmup_steps(total_steps: int, share: float) -> int:
    """How many steps of a run are its warm-up: `share` of them, from 0 to 1, rounded down."""
    return int(share * total_steps)
