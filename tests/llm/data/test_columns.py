"""Columns: their types, what a table of them is for, which one holds the text."""

from __future__ import annotations

from typing import Any

import pytest

from app.llm.data.columns import Columns, kind_of, roles, text_column
from app.llm.data.rows import Row
from app.llm.errors import BadTable


def counted(*rows: dict[str, Any]) -> Columns:
    columns = Columns()
    for line, values in enumerate(rows, start=1):
        columns.count(Row(line, values))
    return columns


@pytest.mark.parametrize(
    ("values", "expected", "filled"),
    [
        (["a", "b c"], "text", 2),
        (["1", " 2.5e3", "-.5"], "number", 3),
        ([1, 2.5], "number", 2),
        ([True, False], "boolean", 2),
        (["1", "one"], "mixed", 2),
        ([["a"]], "list", 1),
        ([{"a": 1}], "object", 1),
        ([None, " ", ""], "empty", 0),
        (["a", None, ""], "text", 1),
    ],
)
def test_types(values: list[Any], expected: str, filled: int) -> None:
    (column,) = counted(*({"x": value} for value in values)).found()
    assert (column.type, column.filled) == (expected, filled)


def test_columns_come_as_they_first_came_up() -> None:
    columns = counted({"b": "xy"}, {"a": "z"}, {"b": "z"}).found()
    assert [(column.name, column.filled, column.characters) for column in columns] == [("b", 2, 3), ("a", 1, 1)]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"a": 1}, {"x" * 201: 1}], "line 2: the name of a column has more than 200 characters"),
        ([{" ": 1}], "line 1: the name of a column is ' '"),
        ([{"a\0b": 1}], "line 1: the name of a column is"),
        ([{f"{line} {n}": 1 for n in range(600)} for line in range(2)], "line 2: there are more than 1,000 columns"),
    ],
)
def test_columns_that_cannot_be(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        counted(*rows)


@pytest.mark.parametrize(
    ("columns", "kind", "found"),
    [
        (["text", "category"], "labelled", {"label": "category", "text": "text"}),
        (["Label", "Message"], "labelled", {"label": "Label", "text": "Message"}),
        (["instruction", "input", "output"], "instructions", {"instruction": "instruction", "output": "output"}),
        (["category", "question", "answer"], "instructions", {"instruction": "question", "output": "answer"}),
        (["instruction", "output", "chosen", "rejected"], "preferences", {"chosen": "chosen", "rejected": "rejected"}),
        (["messages", "id"], "chat", {"messages": "messages"}),
        (["title", "body"], "records", {}),
        (["category"], "records", {}),
    ],
)
def test_what_a_table_is_for(columns: list[str], kind: Any, found: dict[str, str]) -> None:
    assert kind_of(columns) == kind
    assert roles(kind, columns) == found


@pytest.mark.parametrize(
    ("types", "column"),
    [
        ({"title": "text", "Text": "text"}, "Text"),
        ({"id": "number", "body": "text"}, "body"),
        ({"title": "text", "body": "text"}, None),
        ({"id": "number"}, None),
    ],
)
def test_the_column_to_learn_language_from(types: dict[str, str], column: str | None) -> None:
    assert text_column(types) == column
