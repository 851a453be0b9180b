"""What a model reads of a row of each kind, and what is wrong with one."""

from __future__ import annotations

from typing import Any

import pytest

from app.llm.data.columns import Kind
from app.llm.data.row_texts import RowReader

CHAT = [{"role": "user", "content": "Hi"}, {"from": "gpt", "value": "Hello"}]


def reader(kind: Kind, values: dict[str, Any]) -> RowReader:
    return RowReader.of(kind, dict.fromkeys(values, "text"))


@pytest.mark.parametrize(
    ("kind", "values", "text"),
    [
        ("labelled", {"label": "a", "text": "some text"}, "some text"),
        ("chat", {"messages": CHAT}, "Hi\nHello"),
        ("records", {"title": "A", "text": "B"}, "B"),
        ("records", {"title": "A", "body": "B", "n": 1}, "A\nB"),
        ("records", {"title": None}, ""),
    ],
)
def test_texts(kind: Kind, values: dict[str, Any], text: str) -> None:
    assert reader(kind, values).read(values) == text


def test_instructions_are_read_in_the_books_prompt() -> None:
    values = {"instruction": "Add.", "input": "1 2", "output": "3"}
    text = reader("instructions", values).read(values)
    assert text.startswith("Below is an instruction")
    assert text.endswith("### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n3")
    pair = {"instruction": "Add.", "chosen": "3", "rejected": "It is three"}
    assert reader("preferences", pair).read(pair).endswith("### Instruction:\nAdd.\n\n### Response:\nIt is three")


@pytest.mark.parametrize(
    ("kind", "values", "wrong"),
    [
        ("labelled", {"label": 1, "text": "x"}, []),
        ("labelled", {"label": "", "text": 5}, [("label", "it is empty"), ("text", "it must be text, not int")]),
        ("labelled", {"label": ["a"], "text": "x"}, [("label", "a label is one word or number")]),
        ("instructions", {"prompt": " ", "answer": None}, [("prompt", "it is empty"), ("answer", "it is empty")]),
        ("chat", {"messages": CHAT}, []),
        ("chat", {"messages": "Hi"}, [("messages", "it must be a list of messages, not str")]),
        ("chat", {"messages": []}, [("messages", "it is empty")]),
        (
            "chat",
            {"messages": ["Hi", {"content": "Hi"}, {"role": "user"}]},
            [
                ("messages", "message 1 is no object"),
                ("messages", "message 2 has no role"),
                ("messages", "message 3 has no content"),
            ],
        ),
        ("records", {"anything": None}, []),
    ],
)
def test_what_is_wrong(kind: Kind, values: dict[str, Any], wrong: list[tuple[str, str]]) -> None:
    assert list(reader(kind, values).wrong(values)) == wrong
