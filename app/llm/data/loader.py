"""A run's batches one after the other, from a position that can be saved and restored.

Reads a corpus larger than memory at constant memory: windows are looked up in memory-mapped files, their order is
computed. What must be saved is a handful of numbers. Knows no file and no network.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from app.llm.data.sources import SourceUse, used
from app.llm.data.windows import Batches, Mixture, Windows
from app.llm.errors import BadPosition

_LOOKED_AT = 64  # places of a text that tell it from another
_LOOKED_AT_IDS = 1024  # at each of them


class Loader(Iterator[tuple[Tensor, Tensor]]):
    """Goes through `batches` for ever, epoch after epoch."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._corpus = fingerprint(batches)
        self.step = 0
        """Batches handed out so far."""

    @property
    def epoch(self) -> int:
        return self.step // len(self._batches)

    def __next__(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the next batch, (B, T) each, int64."""
        inputs, targets = self._batches[self.step]
        self.step += 1
        return inputs, targets

    def position(self) -> dict[str, Any]:
        """Where this loader stands, ready for JSON."""
        return {"step": self.step, **self._what_it_reads()}

    def restore(self, position: dict[str, Any]) -> None:
        """Go on from where `position` was taken.

        Raises:
            BadPosition: it was taken of another corpus, order or batch size, or is no position.
        """
        here = self._what_it_reads()
        odd = sorted(name for name in here if position.get(name) != here[name])
        step = position.get("step")
        if odd or type(step) is not int or step < 0:
            told = ", ".join(f"{name} {position.get(name)!r} is not {here[name]!r}" for name in odd)
            raise BadPosition(f"the position is not one in this data: {told or f'step {step!r}'}")
        self.step = step

    def used(self, tokens_a_window: int | None = None) -> list[SourceUse]:
        """What was read of each text so far; a window counts as the tokens it predicts unless said otherwise."""
        return used(self._batches, self.step, tokens_a_window or _parts(self._batches)[0].max_length)

    def _what_it_reads(self) -> dict[str, Any]:
        batches = self._batches
        return {
            "seed": batches.order.seed,
            "batch_size": batches.batch_size,
            "drop_last": batches.drop_last,
            "windows": len(batches.windows),
            "corpus": self._corpus,
        }


def fingerprint(batches: Batches) -> str:
    """A hash of each text's length, windows and share, and of the ids at some places of it: quick for any length."""
    known = hashlib.sha256()
    ends = batches.windows.ends if isinstance(batches.windows, Mixture) else [len(batches.windows)]
    for part, end in zip(_parts(batches), ends, strict=True):
        known.update(f"{len(part.ids)} {part.max_length} {part.stride} {end};".encode())
        last = max(0, len(part.ids) - _LOOKED_AT_IDS)
        for start in sorted({last * place // (_LOOKED_AT - 1) for place in range(_LOOKED_AT)}):
            ids = np.asarray(part.ids[start : start + _LOOKED_AT_IDS])
            known.update(ids.astype("<i8").tobytes())
    return known.hexdigest()


def _parts(batches: Batches) -> list[Windows]:
    return list(batches.windows.parts) if isinstance(batches.windows, Mixture) else [batches.windows]
