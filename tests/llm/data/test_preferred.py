"""Rows as pairs of answers: each form, and each mistake told with its line and field."""

from __future__ import annotations

from typing import Any

import pytest

from app.llm.data.dialogues import Turn
from app.llm.data.preferred import pair_of
from app.llm.errors import BadField

MESSAGES = [{"role": "user", "content": "Hi?"}]


def answer(content: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": content}]


FORMS: dict[str, dict[str, Any]] = {
    "prompt": {"prompt": "Hi?", "chosen": "Hi.", "rejected": "No."},
    "instruction": {"instruction": "Hi?", "input": "", "output": "x", "chosen": "Hi.", "rejected": "No."},
    "messages": {"messages": MESSAGES, "chosen": "Hi.", "rejected": "No."},
    "all messages": {"prompt": MESSAGES, "chosen": answer("Hi."), "rejected": answer("No.")},
    "openai": {
        "input": {"messages": MESSAGES},
        "preferred_output": answer("Hi."),
        "non_preferred_output": answer("No."),
    },
}


@pytest.mark.parametrize("values", FORMS.values(), ids=FORMS)
def test_every_form_gives_the_same_pair(values):
    pair = pair_of(values, 3, "\n")
    assert pair.chosen.turns == (Turn("user", "Hi?", False), Turn("assistant", "Hi.", True))
    assert pair.rejected.turns == (Turn("user", "Hi?", False), Turn("assistant", "No.", True))
    assert pair.chosen.line == pair.rejected.line == 3


def test_an_input_stands_behind_its_instruction():
    pair = pair_of({"instruction": "Double.", "input": "2", "chosen": "4", "rejected": "5"}, 1, "\n")
    assert pair.chosen.turns[0].content == "Double.\n2"


def test_of_a_dialogue_the_last_answer_alone_is_judged():
    messages = [*MESSAGES, *answer("Hi."), {"role": "user", "content": "So?"}]
    pair = pair_of({"messages": messages, "chosen": "a", "rejected": "b"}, 1, "\n")
    assert [turn.learnt for turn in pair.chosen.turns] == [False, False, False, True]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "the same": ({"prompt": "x", "chosen": "a", "rejected": " a\n"}, "rejected", "same as chosen"),
    "no prompt": ({"chosen": "a", "rejected": "b"}, "prompt", "missing"),
    "two prompts": ({"prompt": "x", "messages": MESSAGES, "chosen": "a", "rejected": "b"}, "messages", "as well"),
    "no chosen": ({"prompt": "x", "rejected": "b"}, "chosen", "missing"),
    "empty": ({"prompt": "x", "chosen": "", "rejected": "b"}, "chosen", "empty"),
    "two answers": ({"prompt": "x", "chosen": answer("a") * 2, "rejected": "b"}, "chosen", "one message"),
    "answered already": (
        {"messages": MESSAGES + answer("a"), "chosen": "a", "rejected": "b"},
        "messages.1.role",
        "user's",
    ),
    "half of openai's": ({"preferred_output": answer("a")}, "input.messages", "missing"),
    "openai's and a prompt": (FORMS["openai"] | {"prompt": "Hi?"}, "prompt", "it has preferred_output as well"),
    "openai's and answers": (FORMS["openai"] | {"rejected": "b"}, "rejected", "it has preferred_output as well"),
    "openai's and all of ours": (FORMS["prompt"] | FORMS["openai"], "prompt", "a row is one kind of record"),
}


@pytest.mark.parametrize(("values", "field", "told"), WRONG.values(), ids=WRONG)
def test_mistakes_are_told_with_line_and_field(values, field, told):
    with pytest.raises(BadField, match=told) as caught:
        pair_of(values, 17, "\n")
    assert (caught.value.number, caught.value.field) == (17, field)
