"""Times of a run, told by a clock that a test winds."""

from __future__ import annotations

import pytest

from app.llm.train.pace import Pace, times_due


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def spend(pace: Pace, clock: Clock, part: str, seconds: float) -> None:
    with pace.timing(part):
        clock.now += seconds


def test_a_lap_has_loading_and_reporting_in_it_and_evaluation_not():
    clock = Clock()
    pace = Pace(clock)
    spend(pace, clock, "report", 1.0)
    spend(pace, clock, "evaluation", 50.0)
    spend(pace, clock, "sample", 20.0)
    spend(pace, clock, "checkpoint", 30.0)
    spend(pace, clock, "data", 1.0)
    clock.now += 5.0
    spend(pace, clock, "data", 1.0)
    lap = pace.lap()
    assert (lap.seconds, lap.data_share, lap.report_share) == (8.0, 0.25, 0.125)
    clock.now += 2.0
    lap = pace.lap()
    assert (lap.seconds, lap.data_share, lap.report_share) == (2.0, 0.0, 0.0)


def test_what_is_left_goes_by_the_typical_times():
    clock = Clock()
    pace = Pace(clock)
    assert pace.seconds_left(10, {}) is None
    for seconds in (60.0, 2.0, 2.0, 3.0):  # the first one compiles
        clock.now += seconds
        pace.lap()
    spend(pace, clock, "evaluation", 7.0)
    assert pace.seconds_left(10, {"evaluation": 2, "checkpoint": 5}) == 10 * 2.5 + 2 * 7.0


def test_old_times_are_forgotten():
    clock = Clock()
    pace = Pace(clock)
    for seconds in [9.0] * 100 + [1.0] * 50:
        clock.now += seconds
        pace.lap()
    assert pace.seconds_left(10, {}) == 10.0


@pytest.mark.parametrize(
    ("total", "cadences"),
    [(100, (7,)), (100, (10,)), (100, (4, 6)), (101, (4, 6)), (5, (10, 20)), (60, (4, 4)), (1, (1,))],
)
def test_what_is_due_is_counted(total, cadences):
    for after in range(total + 1):
        steps = range(after + 1, total + 1)
        expected = sum(1 for step in steps if step == total or any(step % cadence == 0 for cadence in cadences))
        assert times_due(after, total, *cadences) == expected
