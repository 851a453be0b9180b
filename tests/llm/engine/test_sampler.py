"""The draw: the book's nine words, torch.multinomial, many requests at once, and hard cases."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from app.llm.config import SamplingParams
from app.llm.engine.request import Request
from app.llm.engine.sampler import FEW, BadLogits, Draw, Sampler, _many, draw_all, penalise
from app.llm.errors import LLMError

NINE_WORDS = torch.tensor([4.51, 0.89, -1.90, 6.75, 1.63, -1.62, -1.89, 6.28, 1.79])  # of chapter 5


def params(**changed: Any) -> SamplingParams:
    return SamplingParams(max_new_tokens=1, **changed)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(logits: Tensor, given: SamplingParams, seen: Sequence[int], generator: torch.Generator) -> Draw:
    """One draw of one request whose prompt is `seen`."""
    sampler = Sampler(Request("r", tuple(seen), given))
    sampler.generator = generator
    (drawn,) = draw_all(logits[None], [sampler])
    if isinstance(drawn, LLMError):
        raise drawn
    return drawn


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


def test_the_likeliest_of_equals_are_those_with_the_lowest_ids() -> None:
    """Whatever others ask for: the order in which topk gives equal values differs with how many it gives."""
    logits = torch.zeros(3, 997)
    logits[:, 500:] = 1.0
    counts = (1, 20, 3)
    asked = [params(temperature=0.0, top_logprobs=count) for count in counts]
    drawn = draw_all(logits, [Sampler(Request(str(row), (1,), own)) for row, own in enumerate(asked)])
    for each, count in zip(drawn, counts, strict=True):
        assert isinstance(each, Draw)
        assert [token.token_id for token in each.top] == list(range(500, 500 + count))
        assert each.token_id == 500


def test_half_precision_is_no_less_a_distribution() -> None:
    drawn = draw(NINE_WORDS.bfloat16(), params(top_logprobs=9), (), seeded())
    assert sum(math.exp(token.logprob) for token in drawn.top) == pytest.approx(1.0, abs=1e-5)


def test_a_draw_from_many_tokens_follows_their_chances() -> None:
    logits = torch.full((2 * FEW,), -5.0)
    logits[:4] = torch.tensor([7.0, 6.0, 5.0, 6.5])
    logits[4:100] = -torch.inf  # what has no chance, in the middle, never comes
    chances = logits.softmax(-1)
    generator, count = seeded(4), 4000
    drawn = Counter(_many(chances, generator) for _ in range(count))
    for token_id in range(4):
        assert drawn[token_id] / count == pytest.approx(float(chances[token_id]), abs=0.03)
    assert not set(drawn) & set(range(4, 100))
    assert sum(drawn[token_id] for token_id in range(100, 2 * FEW)) / count == pytest.approx(
        float(chances[100:].sum()), abs=0.03
    )


def test_a_draw_from_many_tokens_hangs_on_the_seed_alone() -> None:
    logits = torch.randn(2 * FEW, generator=seeded(1))
    drawn = [draw(logits, params(), (), seeded(seed)).token_id for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_a_draw_is_what_torch_multinomial_draws() -> None:
    logits = torch.randn(FEW, generator=seeded(1)) * 3
    for seed in range(50):
        one, other = seeded(seed), seeded(seed)
        for _ in range(3):
            drawn = draw(logits, params(), (), one).token_id
            assert drawn == int(torch.multinomial(logits.log_softmax(-1).exp(), 1, generator=other))


@pytest.mark.parametrize("vocab_size", [2000, 50_257])
@pytest.mark.parametrize("step", [0.0, 0.5])
def test_each_request_draws_as_it_does_alone(vocab_size: int, step: float) -> None:
    """Greedy and seeded, penalised and filtered, together and one by one; one whose logits are no numbers, too.

    Among few tokens and among many, of which there is an odd number: rows then begin anywhere in memory. With `step`
    many tokens are as likely as each other.
    """
    rows = torch.randn(12, vocab_size, generator=seeded(2)) * 2
    if step:
        rows = (rows / step).round() * step
    rows[5, 7] = math.nan
    asked = [
        params(
            temperature=(0.0, 1.0, 0.7)[row % 3],
            top_p=0.9 if row % 2 else None,
            repetition_penalty=1e-300 if row == 8 else 1.0 + row % 4 / 10,
            top_logprobs=row % 5,
            seed=row,
            logit_bias=((3, 5.0),) if row % 5 == 0 else (),
        )
        for row in range(12)
    ]

    def samplers() -> list[Sampler]:
        return [Sampler(Request(str(row), (1, 2, row), own)) for row, own in enumerate(asked)]

    together, alone = samplers(), samplers()
    for _ in range(3):
        found = draw_all(rows, together)
        for row, own in enumerate(alone):
            (single,) = draw_all(rows[row : row + 1], [own])
            if row in (5, 8):
                assert isinstance(single, BadLogits)
                assert str(found[row]) == str(single)
            else:
                assert found[row] == single


def test_the_first_draw_alone_tells_the_networks_own_logits() -> None:
    """Whatever the penalty makes of them; and no row of another request stays with them in memory."""
    given = params(temperature=0.5, repetition_penalty=1.5)
    samplers = [Sampler(Request("a", (3,), given, logits=True)), Sampler(Request("b", (3,), given))]
    for drawn in (draw_all(NINE_WORDS.expand(2, -1), samplers) for _ in range(2)):
        asked, other = drawn
        assert isinstance(asked, Draw)
        assert isinstance(other, Draw)
        assert other.logits is None
        if asked.logits is not None:
            told = asked.logits
    assert torch.equal(told, NINE_WORDS)
    assert told.untyped_storage().nbytes() == NINE_WORDS.nbytes
    assert asked.logits is None
