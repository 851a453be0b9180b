"""Dialogues as inputs and targets. Knows no text."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from app.llm.data.examples import IGNORED, pad
from app.llm.data.taught import TaughtIds


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
