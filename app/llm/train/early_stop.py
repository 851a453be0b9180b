"""The best validation loss of a run, and when to stop waiting for a better one. Knows no network and no data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Best:
    """What the evaluations of a run came to. Stands in its checkpoints: a resumed run goes on counting."""

    val_loss: float | None = None  # None: nothing was measured yet
    step: int = 0  # at which that was measured
    counted_step: int = -1  # of the last evaluation that is in here
    worse: int = 0  # evaluations since the best that did not improve on it

    def after(self, step: int, val_loss: float, min_improvement: float) -> Best:
        """With the evaluation at `step` counted in; it improves where it is lower by more than `min_improvement`.

        One that is counted already changes nothing: what is due at a checkpoint's step is done again after it.
        A loss that is no number improves on nothing.
        """
        if step <= self.counted_step:
            return self
        if math.isfinite(val_loss) and (self.val_loss is None or val_loss < self.val_loss - min_improvement):
            return Best(val_loss, step, step, 0)
        return replace(self, counted_step=step, worse=self.worse + 1)

    def is_enough(self, patience: int | None) -> bool:
        """Whether `patience` evaluations in a row brought nothing better; never without a patience."""
        return patience is not None and self.worse >= patience
