"""Rows as pairs of answers, one preferred: prompts or Alpaca records with `chosen` and `rejected`, OpenAI's form.

Knows no template.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.llm.data.dialogues import Dialogue, Turn, asked_of, text_at, text_of, turns_of
from app.llm.errors import BadField

PROMPTS = ("prompt", "instruction", "messages")
ANSWERS = ("chosen", "rejected")
_OPENAI = {"chosen": "preferred_output", "rejected": "non_preferred_output"}


@dataclass(frozen=True, slots=True)
class Pair:
    """The same prompt with the answer that is preferred, and with the other."""

    chosen: Dialogue
    rejected: Dialogue


def pair_of(values: Mapping[str, Any], line: int, joint: str) -> Pair:
    """The pair of one row.

    Three forms: `prompt` (a text, or messages) with `chosen` and `rejected`; `instruction` and perhaps `input` with
    them; and OpenAI's `input.messages`, `preferred_output`, `non_preferred_output`. An answer is a text, or a list
    of one message of the assistant.

    Args:
        joint: what stands between an instruction and its input.

    Raises:
        BadField: a field is missing or no such thing, the row is of two forms, or the answers are the same.
    """
    is_openai = _is_openai(values, line)
    prompt = _openai_prompt(values, line) if is_openai else _prompt(values, line, joint)
    names = _OPENAI if is_openai else {name: name for name in ANSWERS}
    chosen, rejected = (_answer(values, names[each], line) for each in ANSWERS)
    if chosen.strip() == rejected.strip():
        raise BadField(line, names["rejected"], f"it is the same as {names['chosen']}: nothing is preferred")
    return Pair(*(Dialogue((*prompt, Turn("assistant", answer, True)), line) for answer in (chosen, rejected)))


def _is_openai(values: Mapping[str, Any], line: int) -> bool:
    """Whether a row has OpenAI's answers; then it has nothing of the other forms."""
    theirs = [name for name in _OPENAI.values() if values.get(name) is not None]
    ours = [name for name in (*PROMPTS, *ANSWERS) if values.get(name) is not None]
    if theirs and ours:
        raise BadField(line, ours[0], f"it has {theirs[0]} as well: a row is one kind of record")
    return bool(theirs)


def _prompt(values: Mapping[str, Any], line: int, joint: str) -> tuple[Turn, ...]:
    there = [name for name in PROMPTS if values.get(name) is not None]
    if len(there) > 1:
        raise BadField(line, there[1], f"it has {there[0]} as well: a row has one prompt")
    if there == ["instruction"]:
        return (Turn("user", asked_of(values, line, joint), False),)
    field = there[0] if there else "prompt"
    if isinstance(values.get(field), list):
        return _asking(turns_of(values[field], line, field), line, field)
    return (Turn("user", text_at(values, field, line), False),)


def _openai_prompt(values: Mapping[str, Any], line: int) -> tuple[Turn, ...]:
    given = values.get("input")
    if not isinstance(given, Mapping) or given.get("messages") is None:
        raise BadField(line, "input.messages", "it is missing")
    return _asking(turns_of(given["messages"], line, "input.messages"), line, "input.messages")


def _asking(turns: tuple[Turn, ...], line: int, field: str) -> tuple[Turn, ...]:
    """Turns that wait for an answer; those in between are not what is judged."""
    if turns[-1].role != "user":
        raise BadField(line, f"{field}.{len(turns) - 1}.role", "the last one must be the user's")
    return tuple(turn._replace(learnt=False) for turn in turns)


def _answer(values: Mapping[str, Any], field: str, line: int) -> str:
    value = values.get(field)
    if not isinstance(value, list):
        return text_at(values, field, line)
    if len(value) != 1 or not isinstance(value[0], Mapping) or value[0].get("role") != "assistant":
        raise BadField(line, field, "an answer is a text, or a list of one message of the assistant")
    if value[0].get("content") is None:
        raise BadField(line, f"{field}.0.content", "it is missing")
    return text_of(value[0]["content"], line, f"{field}.0.content")
