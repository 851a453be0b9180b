"""Rows of multiple choice: in which forms an answer may come, and what is told of one that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequest
from app.services.choice_rows import ChoiceRow, choice_columns, choice_of
from app.services.job_rows import Line

COLUMNS = {"question": "question", "choices": "choices", "answer": "answer"}
THREE = ["Paris", "London", "Rome"]


def a_line(**values: Any) -> Line:
    return Line("ds_1", 0, 7, {"question": "Which?", "choices": THREE, "answer": 0} | values, "dataset")


@pytest.mark.parametrize(
    ("values", "place"),
    [
        ({"answer": 2}, 2),
        ({"answer": "Rome"}, 2),
        ({"answer": " Rome\n"}, 2),
        ({"answer": "B"}, 1),
        ({"choices": ["B", "A"], "answer": "A"}, 1),  # a text before a letter
        ({"choices": ["2", "1"], "answer": "1"}, 1),
        ({"choices": [3, 4.5], "answer": 1}, 1),
        ({"choices": [3, 4.5], "answer": "4.5"}, 1),
        ({"choices": {"text": THREE, "label": ["1", "2", "3"]}, "answer": "3"}, 2),
        ({"choices": {"text": THREE, "label": ["1", "2", "3"]}, "answer": 3}, 2),
        ({"choices": {"text": THREE, "label": ["A", "B", "C"]}, "answer": "C"}, 2),
    ],
)
def test_an_answer_is_found_among_the_choices(values: dict[str, Any], place: int) -> None:
    assert choice_of(a_line(**values), COLUMNS).answer == place


def test_a_row_is_read_whole() -> None:
    assert choice_of(a_line(answer="A"), COLUMNS) == ChoiceRow(7, "Which?", ("Paris", "London", "Rome"), 0)
    assert choice_of(a_line(question=12), COLUMNS).question == "12"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"answer": 3}, "answer: 3 is no place among 3 choices, counted from 0"),
        ({"answer": -1}, "answer: -1 is no place"),
        ({"answer": "D"}, "answer: 'D' is neither the text nor the letter of a choice"),
        ({"answer": "1"}, "neither the text nor the letter"),
        ({"answer": True}, "answer must be text, not bool"),
        ({"answer": None}, "answer is empty"),
        ({"choices": ["a", "a", "b"], "answer": "a"}, "'a' is more than one of the choices"),
        ({"choices": None}, "choices is missing"),
        ({"choices": "Paris, Rome"}, "choices must be a list of texts, not str"),
        ({"choices": ["Paris"]}, "there are 1; from 2 to 26 are expected"),
        ({"choices": ["x"] * 27}, "there are 27"),
        ({"choices": ["Paris", " "]}, "choices: one is empty"),
        ({"choices": ["Paris", None]}, "choices: each must be text, not NoneType"),
        ({"choices": {"text": THREE, "label": ["1"]}}, "lists of the same length"),
        ({"choices": {"text": THREE}}, "must be a list of texts, not dict"),
        ({"question": " "}, "question is empty"),
        ({"question": ["Which?"]}, "question must be text, not list"),
    ],
)
def test_what_cannot_be_used_is_told_with_its_line(values: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        choice_of(a_line(**values), COLUMNS)
    assert refused.value.message.startswith("dataset: ds_1, line 7: ")
    assert told in refused.value.message


def test_columns_are_found_by_their_usual_names() -> None:
    arc = ["id", "question", "choices", "answerKey"]
    assert choice_columns(arc, {}) == {"question": "question", "choices": "choices", "answer": "answerKey"}
    assert choice_columns(["Q", "options", "gold"], {"question": "Q", "answer": "gold"}) == {
        "question": "Q",
        "choices": "options",
        "answer": "gold",
    }
    assert choice_columns(["question", "choices"], {}) is None
    assert choice_columns(["question", "choices", "answer"], {"question": "answer"}) is None  # one is never two things
