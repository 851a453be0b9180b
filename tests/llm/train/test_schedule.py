"""The learning rates of appendix D."""

from __future__ import annotations

import pytest

from app.llm.train.schedule import learning_rate, warmup_steps

DEMO = dict(peak=1e-2, minimum=1e-5, initial=1e-4)
TRAINING = dict(peak=1e-3, minimum=1e-5, initial=1e-5)


@pytest.mark.parametrize(("fact", "rates"), [("appD.lr.demo", DEMO), ("appD.lr.train", TRAINING)])
def test_appendix_d(golden, fact, rates):
    known = golden(fact)
    steps = dict(total_steps=known["inputs"]["total"], warmup_steps=known["inputs"]["warmup"])
    for step, rate in known["expected"].items():
        assert learning_rate(int(step), **steps, **rates) == pytest.approx(rate, rel=1e-6, abs=1e-10)


def test_a_share_of_the_run_is_its_warm_up(golden):
    fact = golden("appD.warmup")
    given, expected = fact["inputs"], fact["expected"]
    total = given["batches_per_epoch"] * given["epochs"]
    assert total == expected["total_steps"]
    assert warmup_steps(total, given["fraction"]) == expected["warmup_steps"]
    assert (warmup_steps(9, 0.0), warmup_steps(9, 0.99), warmup_steps(9, 1.0)) == (0, 8, 9)


def test_no_warm_up_starts_at_the_peak_and_ends_above_the_minimum():
    rates = [learning_rate(step, total_steps=10, peak=1.0, minimum=0.1) for step in range(10)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert 0.1 < rates[-1] < 0.13


def test_equal_peak_and_minimum_are_a_constant_rate():
    assert {learning_rate(step, total_steps=5, peak=0.3, minimum=0.3) for step in range(5)} == {0.3}


def test_a_warm_up_as_long_as_the_run_never_divides_by_zero():
    assert [learning_rate(step, total_steps=2, peak=1.0, warmup_steps=2) for step in range(3)] == [0.0, 0.5, 1.0]
