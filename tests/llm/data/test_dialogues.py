"""Rows as dialogues: each kind of record, and each mistake told with its line and field."""

from __future__ import annotations

from typing import Any

import pytest

from app.llm.data.dialogues import Turn, dialogue_of
from app.llm.errors import BadField

JOINT = "\n\n"


def said(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def turns(values: dict[str, Any]) -> tuple[Turn, ...]:
    return dialogue_of(values, 1, JOINT).turns


@pytest.mark.parametrize("given", [{}, {"input": ""}, {"input": None}], ids=["none", "empty", "null"])
def test_an_instruction_without_input(given):
    assert turns({"instruction": "Say hi.", "output": "Hi.", **given}) == (
        Turn("user", "Say hi.", False),
        Turn("assistant", "Hi.", True),
    )


def test_an_input_stands_behind_its_instruction():
    assert turns({"instruction": "Double it.", "input": "2", "output": "4"})[0].content == "Double it.\n\n2"


def test_a_prompt_with_its_completion():
    assert turns({"prompt": "Hi?", "completion": "Hi.", "source": "x"}) == (
        Turn("user", "Hi?", False),
        Turn("assistant", "Hi.", True),
    )


def test_a_chat_learns_the_answers_that_have_weight():
    messages = [
        said("system", "Be kind."),
        said("user", "A?"),
        said("assistant", "a", weight=0),
        said("user", "B?"),
        said("assistant", "b", weight=1),
        said("user", "C?"),
        said("assistant", "c"),
    ]
    assert [turn.learnt for turn in turns({"messages": messages})] == [False] * 4 + [True, False, True]


USER, ANSWER = said("user", "A?"), said("assistant", "a")
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "nothing": ({"text": "x"}, "", "none of"),
    "alpaca and chat": ({"instruction": "x", "output": "y", "messages": [USER, ANSWER]}, "messages", "instruction"),
    "alpaca and prompt": ({"output": "y", "prompt": "x"}, "prompt", "output as well"),
    "no output": ({"instruction": "x"}, "output", "missing"),
    "empty output": ({"instruction": "x", "output": " \n"}, "output", "empty"),
    "a number": ({"instruction": "x", "output": 5}, "output", "text, not int"),
    "no completion": ({"prompt": "x"}, "completion", "missing"),
    "empty prompt": ({"prompt": "", "completion": "y"}, "prompt", "empty"),
    "half a surrogate": ({"prompt": "\ud800", "completion": "y"}, "prompt", "surrogate"),
    "no messages": ({"messages": []}, "messages", "list of messages"),
    "no object": ({"messages": ["x"]}, "messages.0", "object"),
    "odd role": ({"messages": [said("tool", "x")]}, "messages.0.role", "one of"),
    "odd key": ({"messages": [said("user", "x", tool_calls=[])]}, "messages.0.tool_calls", "alone"),
    "no content": ({"messages": [USER, {"role": "assistant"}]}, "messages.1.content", "missing"),
    "empty answer": ({"messages": [USER, said("assistant", "")]}, "messages.1.content", "empty"),
    "answer first": ({"messages": [ANSWER]}, "messages.0.role", "out of order"),
    "two answers": ({"messages": [USER, ANSWER, ANSWER]}, "messages.2.role", "behind assistant comes user"),
    "late system": ({"messages": [USER, ANSWER, said("system", "x")]}, "messages.2.role", "out of order"),
    "ends with a question": ({"messages": [USER, ANSWER, USER]}, "messages.2.role", "assistant's answer"),
    "weight of a question": ({"messages": [said("user", "x", weight=1), ANSWER]}, "messages.0.weight", "alone"),
    "half a weight": ({"messages": [USER, said("assistant", "a", weight=0.5)]}, "messages.1.weight", "0 or 1"),
    "nothing learnt": ({"messages": [USER, said("assistant", "a", weight=0)]}, "messages", "weight 0"),
}


@pytest.mark.parametrize(("values", "field", "told"), WRONG.values(), ids=WRONG)
def test_mistakes_are_told_with_line_and_field(values, field, told):
    with pytest.raises(BadField, match=told) as caught:
        dialogue_of(values, 17, JOINT)
    assert (caught.value.number, caught.value.field) == (17, field)
    assert str(caught.value).startswith(f"line 17: {field}")
