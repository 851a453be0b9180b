"""Rows of JSONL: good ones as they are, bad ones with their lines, and reading goes on behind them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.data.jsonl import read_jsonl
from app.llm.data.rows import BadRow, Row

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def rows(*lines: str) -> list[Row | BadRow]:
    return list(read_jsonl(enumerate(lines, start=1)).rows)


@given(st.dictionaries(st.text(), VALUES, min_size=1))
def test_objects_come_as_they_are(values: dict[str, object]) -> None:
    assert rows(json.dumps(values) + "\n") == [Row(1, values)]
    assert rows(json.dumps(values, ensure_ascii=False)) == [Row(1, values)]


def test_blank_lines_are_let_be() -> None:
    assert [row.line for row in rows("\n", '{"a": 1}\n', " \r\n", '{"a": 2}\r\n')] == [2, 4]


@pytest.mark.parametrize(
    ("line", "field", "reason"),
    [
        ('{"a": 1', None, "no JSON: Expecting ',' delimiter at character 8"),
        ("word", None, "no JSON: Expecting value at character 1"),
        ('{"a": 1} {"b": 2}', None, "no JSON: Extra data at character 10"),
        ("[1]", None, "a row is an object in braces, not a list"),
        ("null", None, "a row is an object in braces, not null"),
        ("{}", None, "the object is empty"),
        ('{"a": 1, "a": 2}', "a", "it is there twice"),
        ('{"a": NaN}', None, "NaN is no JSON"),
        ('{"a": 1e999}', None, "the number 1e999 is too large"),
        ('{"a": ' + "1" * 5000 + "}", None, "a number has too many digits"),
        ('{"a": "\\ud800"}', None, "half a surrogate pair stands in it"),
        ("[" * 100_000, None, "lists and objects lie within each other more than 50 deep"),
        ('{"a": ' + "[" * 50 + "]" * 50 + "}", None, "lists and objects lie within each other more than 50 deep"),
        ('{"\\ud800\\u0000": 1, "\\ud800\\u0000": 2}', "\ufffd\ufffd", "it is there twice"),
    ],
)
def test_what_is_no_row_is_told_and_the_next_one_is_read(line: str, field: str | None, reason: str) -> None:
    assert rows(line, '{"a": 1}') == [BadRow(1, field, reason), Row(2, {"a": 1})]


def test_fifty_levels_are_a_row() -> None:
    (row,) = rows('{"a": ' + "[" * 49 + "]" * 49 + "}")
    assert isinstance(row, Row)


def test_both_halves_of_a_surrogate_pair_are_one_character() -> None:
    assert rows('{"a": "\\ud83d\\ude00"}') == [Row(1, {"a": "\N{GRINNING FACE}"})]
