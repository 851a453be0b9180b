"""What a judge is asked, and which of its replies say something."""

from __future__ import annotations

import pytest

from app.llm.judging import Preference, Verdict, choice_prompt, mark_prompt, read_choice, read_mark, verdict


@pytest.mark.parametrize(
    ("reply", "mark"),
    [
        ("85", 85), (" 0 ", 0), ("100", 100), ("Score: 85", 85), ("**70**", 70), ("85/100", 85), ("60 out of 100.", 60),
        ("\n\n42\n\nThe answer is good.", 42),
        ("101", None), ("-5", None), ("Score: -5", None), ("8.5", None), ("7/10", None), ("", None),
        ("I would give it 85 points", None), ("There are 2 mistakes in it.", None), ("eighty", None), ("85 90", None),
    ],
)  # fmt: skip
def test_a_mark_is_read_where_nothing_else_is_said(reply: str, mark: int | None) -> None:
    assert read_mark(reply) == mark


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("1", "first"), ("Answer 2.", "second"), ("**Tie**", "tie"), ("2\nbecause it is shorter", "second"),
        ("12", None), ("Both are good", None), ("Answer 1 or 2", None), ("", None),
    ],
)  # fmt: skip
def test_a_choice_is_read_where_nothing_else_is_said(reply: str, choice: Preference | None) -> None:
    assert read_choice(reply) == choice


@pytest.mark.parametrize(
    ("in_order", "swapped", "said"),
    [
        ("first", "second", "win"), ("second", "first", "loss"), ("tie", "tie", "tie"),
        ("first", "first", "disagreed"), ("second", "second", "disagreed"), ("first", "tie", "disagreed"),
        ("tie", "second", "disagreed"),
    ],
)  # fmt: skip
def test_a_preference_counts_where_both_orders_agree(in_order: Preference, swapped: Preference, said: Verdict) -> None:
    assert verdict(in_order, swapped) == said


def test_prompts_hold_all_that_is_compared() -> None:
    assert all(part in mark_prompt("Q?", "right", "mine") for part in ("Q?", "right", "mine", "0", "100"))
    told = choice_prompt("Q?", "right", "mine", "yours")
    assert told.index("mine") < told.index("yours")
