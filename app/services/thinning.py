"""A long run's curve in few points: what stands out stays. Knows no database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Measured(Protocol):
    @property
    def step(self) -> int: ...
    @property
    def loss(self) -> float | None: ...
    @property
    def val_loss(self) -> float | None: ...


Point = TypeVar("Point", bound=Measured)


def thinned(rows: Sequence[Point], most: int) -> list[Point]:
    """At most `most` (10 or more) of the rows, in their order: the first and the last, those with a validation loss,
    and the lowest and highest loss of each of as many stretches as there is room for.

    Of more than `most` / 2 rows with a validation loss, the lowest and highest of each stretch stay likewise.
    """
    if len(rows) <= most:
        return list(rows)
    judged = _extremes([(row.val_loss, row) for row in rows if row.val_loss is not None], most // 2)
    losses = _extremes([(row.loss, row) for row in rows if row.loss is not None], most - len(judged) - 2)
    chosen = {row.step: row for row in (rows[0], *judged, *losses, rows[-1])}
    return [chosen[step] for step in sorted(chosen)]


def _extremes(rows: Sequence[tuple[float, Point]], most: int) -> list[Point]:
    """All of them, or of each of `most` / 2 stretches the lowest and the highest."""
    if len(rows) <= most:
        return [row for _, row in rows]
    stretches = most // 2
    found = []
    for number in range(stretches):
        stretch = rows[len(rows) * number // stretches : len(rows) * (number + 1) // stretches]
        ordered = sorted(stretch, key=lambda pair: pair[0])
        found += [ordered[0][1], ordered[-1][1]]
    return found
