"""What a run's time goes into, and how long the rest of it will take. Knows no network and no data."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

Part = Literal["data", "report", "evaluation", "sample", "checkpoint"]

BETWEEN: tuple[Part, ...] = ("evaluation", "sample", "checkpoint")
"""Parts that come between updates and are no part of their time."""

RECENT = 50
"""Times that tell what the next ones will be; their median does not care for a first step that compiles."""
_SETTLED = 10  # so many times are looked at one by one, from then on every tenth is


@dataclass(frozen=True)
class Lap:
    """One update, from the end of the one before: reporting that one, loading, computing."""

    seconds: float
    data_share: float  # from 0 to 1: of that, getting the batches
    report_share: float  # telling what was measured, asking whether to go on


class Pace:
    """Times of one run."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin the first lap."""
        self._clock = clock
        self._began = clock()
        self._spent: dict[Part, float] = defaultdict(float)  # in this lap
        self._times: dict[str, _Times] = defaultdict(_Times)

    @contextmanager
    def timing(self, part: Part) -> Iterator[None]:
        """Count what happens inside as that part."""
        began = self._clock()
        yield
        seconds = self._clock() - began
        self._spent[part] += seconds
        if part in BETWEEN:
            self._times[part].add(seconds)

    def lap(self) -> Lap:
        """End the update's lap, and begin the next."""
        now = self._clock()
        seconds = max(1e-9, now - self._began - sum(self._spent[part] for part in BETWEEN))
        lap = Lap(seconds, self._spent["data"] / seconds, self._spent["report"] / seconds)
        self._times["update"].add(seconds)
        self._began = now
        self._spent.clear()
        return lap

    def seconds_left(self, updates: int, others: Mapping[Part, int]) -> float | None:
        """What so many updates and others would take at the typical time of each; None before the first update."""
        update = self._times["update"].typical
        if update is None:
            return None
        return updates * update + sum(count * (self._times[part].typical or 0.0) for part, count in others.items())


def times_due(after: int, total: int, *cadences: int) -> int:
    """How many steps beyond `after`, up to `total`, are a multiple of one of at most two cadences, or the last."""
    if after >= total:
        return 0

    def multiples(of: int) -> int:
        return total // of - after // of

    found = sum(multiples(cadence) for cadence in cadences)
    found -= multiples(math.lcm(*cadences)) if len(cadences) == 2 else 0
    return found + all(total % cadence for cadence in cadences)


class _Times:
    """Seconds that one part took, the recent ones."""

    def __init__(self) -> None:
        self.typical: float | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._count = 0

    def add(self, seconds: float) -> None:
        self._recent.append(seconds)
        self._count += 1
        if (
            self._count < _SETTLED or self._count % _SETTLED == 0
        ):  # a median each time would cost a short step a percent
            self.typical = statistics.median(self._recent)
