"""What is drawn from: the book's nine words, the papers in plain Python, transformers' filters, many rows at once."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from app.llm.config import SamplingParams
from app.llm.engine.distribution import distributions
from app.llm.engine.sampler import penalise
from tests.llm.engine.test_sampler import NINE_WORDS, params, seeded


def distribution(logits: Tensor, given: SamplingParams) -> Tensor:
    return distributions(logits[None], [given])[0]


def reference(logits: list[float], given: SamplingParams) -> list[float]:
    """The distribution as the papers tell it: lists, loops, 64-bit numbers."""

    def softmax(values: dict[int, float]) -> dict[int, float]:
        exponentials = {i: math.exp(value - max(values.values())) for i, value in values.items()}
        return {i: value / sum(exponentials.values()) for i, value in exponentials.items()}

    left = {i: value / given.temperature for i, value in enumerate(logits)}
    if given.top_k is not None:
        kth = sorted(left.values(), reverse=True)[: given.top_k][-1]
        left = {i: value for i, value in left.items() if value >= kth}
    if given.top_p is not None and given.top_p < 1:
        mass, kept = 0.0, {}
        for i, p in sorted(softmax(left).items(), key=lambda each: -each[1]):
            if mass >= given.top_p:
                break
            kept[i], mass = left[i], mass + p
        left = kept
    if given.min_p:
        probabilities = softmax(left)
        least = given.min_p * max(probabilities.values())
        left = {i: value for i, value in left.items() if probabilities[i] >= least}
    probabilities = softmax(left)
    return [probabilities.get(i, 0.0) for i in range(len(logits))]


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.integers(-300, 300), min_size=1, max_size=40, unique=True),
    st.sampled_from([0.05, 0.5, 1.0, 1.7, 20.0]),
    st.none() | st.integers(1, 45),
    st.none() | st.sampled_from([0.013, 0.3, 0.77, 0.951, 1.0]),
    st.none() | st.sampled_from([0.0, 0.0123, 0.21, 0.97, 1.0]),
)
def test_filters_are_those_of_the_papers(
    hundredths: list[int], temperature: float, top_k: int | None, top_p: float | None, min_p: float | None
) -> None:
    logits = [each * 0.0371 for each in hundredths]
    given = params(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p)
    got = distribution(torch.tensor(logits), given).exp().tolist()
    assert got == pytest.approx(reference(logits, given), abs=2e-5)


@pytest.mark.parity
@pytest.mark.parametrize("seed", range(20))
def test_filters_are_those_of_transformers(seed: int) -> None:
    transformers = pytest.importorskip("transformers")
    chance = seeded(seed)
    logits = torch.randn(500, generator=chance) * 4
    seen = torch.randint(0, 500, (30,), generator=chance)
    given = params(temperature=0.8, top_k=60, top_p=0.9, min_p=0.02, repetition_penalty=1.3)
    chain = transformers.LogitsProcessorList(
        [
            transformers.RepetitionPenaltyLogitsProcessor(1.3),
            transformers.TemperatureLogitsWarper(0.8),
            transformers.TopKLogitsWarper(60),
            transformers.TopPLogitsWarper(0.9),
            transformers.MinPLogitsWarper(0.02),
        ]
    )
    expected = chain(seen[None], logits[None].clone())[0].log_softmax(-1)
    torch.testing.assert_close(distribution(penalise(logits, seen.tolist(), 1.3), given), expected)


def test_the_books_temperatures(golden: Any) -> None:
    for temperature, expected in golden("ch05.temp.probas")["expected"].items():
        got = distribution(NINE_WORDS, params(temperature=float(temperature))).exp()
        assert got.tolist() == pytest.approx(expected, abs=1e-4)


def test_the_books_top_3(golden: Any) -> None:
    got = distribution(NINE_WORDS, params(top_k=3)).exp()
    assert got.tolist() == pytest.approx(golden("ch05.topk")["expected"]["probas"], abs=1e-4)


def test_each_row_is_as_it_is_alone() -> None:
    """Whatever the others ask for, and with flat rows, for which the likely ones are not enough."""
    chance = seeded(3)
    rows = torch.randn(40, 1500, generator=chance) * torch.logspace(-3, 1, 40)[:, None]
    asked = [
        params(
            temperature=(0.0, 0.3, 1.0, 2.0)[row % 4],
            top_k=(None, 1, 50, 5000)[row % 3],
            top_p=(None, 1e-300, 0.5, 0.999)[row % 5 % 4],
            min_p=(None, 0.0, 0.1)[row % 7 % 3],
        )
        for row in range(40)
    ]
    together = distributions(rows, asked)
    for row, own in enumerate(asked):
        assert torch.equal(together[row], distribution(rows[row], own))
        assert together[row].exp().sum() == pytest.approx(1.0, abs=1e-4)


def test_the_rows_are_not_changed() -> None:
    rows = torch.stack([NINE_WORDS, NINE_WORDS])
    distributions(rows, [params(temperature=0.0), params(top_k=2, top_p=0.5, min_p=0.1)])
    assert torch.equal(rows, torch.stack([NINE_WORDS, NINE_WORDS]))
