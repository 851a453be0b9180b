"""Answers held against references, word for word."""

from __future__ import annotations

import pytest

from app.llm.answer_scores import exact_match, normal_form, token_f1


def test_the_normal_form_knows_no_case_punctuation_or_articles() -> None:
    assert normal_form("The  Cat, «sat» on\na mat…") == "cat sat on mat"
    assert normal_form("Theatre") == "theatre"


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [("The cat.", "cat", True), ("cats", "cat", False), ("!", "?", False), ("!", " ! ", True), ("", "cat", False)],
)
def test_exact_match(answer: str, reference: str, same: bool) -> None:
    assert exact_match(answer, reference) is same


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("the cat sat", "cat sat", 1.0),
        ("cat cat", "cat", 2 / 3),  # the second one has no partner
        ("a dog ran home", "the dog ran away", 2 / 3),
        ("nothing", "shared", 0.0),
        ("", "shared", 0.0),
        ("!", "!", 1.0),
    ],
)
def test_token_f1(answer: str, reference: str, f1: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(f1)
