"""How far two judges agree: the book's stored scores, and cases worked by hand."""

from __future__ import annotations

import json
import math

import pytest

from app.llm.agreement import kendall_tau_b, pearson, spearman


@pytest.fixture(scope="module")
def scores(shared_file) -> dict[str, list[int]]:
    return json.loads(shared_file("eval-judge-scores.json").read_text())


def mean(values: list[int]) -> float:
    return sum(values) / len(values)


def test_the_stored_scores_are_the_books(golden, scores):
    """Two means that the book prints (78.48 and 64.98) are not those of the scores it stores."""
    fact = golden("ch07.judge.data")
    expected, within = fact["expected"], fact["tolerance"]
    assert mean(scores["gpt4-model-1-response"]) == pytest.approx(expected["gpt4_model1_mean"], abs=within)
    assert mean(scores["gpt4-model-2-response"]) == pytest.approx(expected["gpt4_model2_mean"], abs=within)
    llama = [scores[f"llama3-8b-model-{number}-response"] for number in (1, 2)]
    assert mean(llama[0]) == pytest.approx(expected["llama3_model1_mean_stored"], abs=within)
    assert mean(llama[1]) == pytest.approx(expected["llama3_model2_mean_stored"], abs=within)
    assert len(llama[1]) == expected["llama3_model2_n"]


def test_two_judges_of_the_same_answers(golden, scores):
    fact = golden("ch07.judge.correlation")
    judges = scores["gpt4-model-1-response"], scores["llama3-8b-model-1-response"]
    for name, measure in (("pearson", pearson), ("spearman", spearman), ("kendall_tau_b", kendall_tau_b)):
        assert measure(*judges) == pytest.approx(fact["expected"][name], abs=fact["tolerance"])


@pytest.mark.parametrize("measure", [pearson, spearman, kendall_tau_b])
def test_from_opposite_to_equal(measure):
    assert measure([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert measure([1, 2, 3], [6, 4, 2]) == pytest.approx(-1.0)


def test_ranks_share_ties():
    assert spearman([1, 1, 3], [1, 2, 3]) == pytest.approx(math.sqrt(3) / 2)  # ranks 1.5, 1.5, 3
    assert kendall_tau_b([1, 1, 3], [1, 2, 3]) == pytest.approx(2 / math.sqrt(6))


@pytest.mark.parametrize("measure", [pearson, spearman, kendall_tau_b])
def test_a_judge_who_never_varies_agrees_with_nobody(measure):
    assert math.isnan(measure([5, 5, 5], [1, 2, 3]))
    assert math.isnan(measure([], []))
