"""The draw: the book's nine words, a reference in plain Python, transformers' own filters, and hard cases."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from app.llm.config import SamplingParams
from app.llm.engine.sampler import BadLogits, distribution, draw, penalise

NINE_WORDS = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])  # of chapter 5


def params(**changed: Any) -> SamplingParams:
    return SamplingParams(max_new_tokens=1, **changed)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


def test_the_books_thousand_draws(golden: Any) -> None:
    """The very counts of chapter 5, as one draw takes from the generator what torch.multinomial does."""
    for temperature, expected in golden("ch05.temp.counts")["expected"].items():
        generator, given = seeded(123), params(temperature=float(temperature))
        counts = Counter(draw(NINE_WORDS, given, (), generator).token_id for _ in range(1000))
        assert [counts[word] for word in range(9)] == expected


def test_greedy_takes_the_likeliest_and_leaves_the_generator(golden: Any) -> None:
    generator = seeded(5)
    before = generator.get_state()
    drawn = draw(NINE_WORDS, params(temperature=0.0, top_logprobs=3), (), generator)
    assert drawn.token_id == golden("ch05.temp.argmax")["expected"]["id"]
    assert torch.equal(generator.get_state(), before)
    assert drawn.sampled_logprob == 0.0
    assert [token.sampled_logprob for token in drawn.top] == [0.0, None, None]


def test_either_of_the_books_settings_leaves_nothing_to_chance(golden: Any) -> None:
    """Exercise 5.3."""
    expected = golden("ch05.deterministic")["expected"]
    certain = (params(temperature=expected["temperature"]), params(temperature=5.0, top_k=expected["or_top_k"]))
    drawn = [{draw(NINE_WORDS, each, (), seeded(seed)).token_id for seed in range(200)} for each in certain]
    assert drawn == [{3}, {3}]
    assert len({draw(NINE_WORDS, params(temperature=5.0), (), seeded(seed)).token_id for seed in range(200)}) > 3


def test_greedy_heeds_the_penalty() -> None:
    assert draw(NINE_WORDS, params(temperature=0.0, repetition_penalty=1.2), (3,), seeded()).token_id == 7


def test_logprobs_before_and_after() -> None:
    """The model's own are those of the plain logits, whatever the parameters; the others what was drawn from."""
    given = params(temperature=0.5, top_k=2, repetition_penalty=1.5, top_logprobs=4)
    drawn = draw(NINE_WORDS, given, (0, 3), seeded())
    own = NINE_WORDS.log_softmax(-1)
    assert [token.token_id for token in drawn.top] == [3, 7, 0, 8]
    assert [token.logprob for token in drawn.top] == own[[3, 7, 0, 8]].tolist()
    assert drawn.logprob == own[drawn.token_id]
    first, second = math.exp(6.28 / 0.5), math.exp(6.75 / 1.5 / 0.5)  # all that top-k leaves
    expected = {7: first / (first + second), 3: second / (first + second)}
    after = {token.token_id: token.sampled_logprob for token in drawn.top}
    assert {i: math.exp(p) for i, p in after.items() if p is not None} == pytest.approx(expected)
    assert drawn.sampled_logprob == after[drawn.token_id]


def test_penalty_is_as_told() -> None:
    got = penalise(torch.tensor([2.0, -2.0, 0.0, 1.0, -1.0]), [0, 1, 2, 0], 4.0)
    assert got.tolist() == [0.5, -8.0, 0.0, 1.0, -1.0]


def test_the_logits_are_not_changed() -> None:
    logits = NINE_WORDS.clone()
    draw(logits, params(top_k=2, top_p=0.5, min_p=0.1, repetition_penalty=2.0), (1, 2), seeded())
    assert torch.equal(logits, NINE_WORDS)


def test_equal_seeds_draw_equally() -> None:
    given = params(temperature=3.0)
    first, second, other = (
        [draw(NINE_WORDS, given, (), generator).token_id for _ in range(30)]
        for generator in map(seeded, (7, 7, 8))
        for generator in [generator]
    )
    assert first == second != other


@pytest.mark.parametrize(
    "changed",
    [
        {"temperature": 1e-300},
        {"temperature": 100.0},
        {"top_k": 1},
        {"top_k": 10**6},
        {"top_p": 1e-300},
        {"top_p": 1.0},
        {"min_p": 1.0},
        {"min_p": 5e-324},
        {"repetition_penalty": 100.0},
        {"top_logprobs": 20},
    ],
)
def test_the_ends_of_what_is_allowed_give_a_token(changed: dict[str, Any]) -> None:
    drawn = draw(NINE_WORDS * 40, params(**changed), (3, 7), seeded())
    assert 0 <= drawn.token_id < 9
    assert math.isfinite(drawn.logprob)
    assert math.isfinite(drawn.sampled_logprob)
    assert len(drawn.top) == min(9, changed.get("top_logprobs", 0))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_refused(odd: float, temperature: float) -> None:
    logits = NINE_WORDS.clone()
    logits[4] = odd
    with pytest.raises(BadLogits, match="NaN or infinity"):
        draw(logits, params(temperature=temperature), (), seeded())


def test_a_penalty_beyond_all_numbers_is_named() -> None:
    with pytest.raises(BadLogits, match="repetition_penalty 1e-300"):
        draw(NINE_WORDS, params(repetition_penalty=1e-300), (3,), seeded())


def test_half_precision_is_no_less_a_distribution() -> None:
    drawn = draw(NINE_WORDS.bfloat16(), params(top_logprobs=9), (), seeded())
    assert sum(math.exp(token.logprob) for token in drawn.top) == pytest.approx(1.0, abs=1e-5)
