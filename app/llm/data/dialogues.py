"""Rows as dialogues to learn answers from: Alpaca records, chat records, prompts with completions. Knows no template.

A row's fields say what it is. What a dialogue looks like as text is its template's affair; here are turns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

from app.llm.errors import BadField

Role = Literal["system", "user", "assistant"]
ROLES: tuple[Role, ...] = get_args(Role)
RecordKind = Literal["alpaca", "chat", "prompted"]

FIELDS: dict[RecordKind, tuple[str, ...]] = {
    "alpaca": ("instruction", "input", "output"),
    "chat": ("messages",),
    "prompted": ("prompt", "completion"),
}
"""What a record of each kind is made of; other fields are let be."""
MAX_TURNS = 500
"""Where an answer lies is found by rendering all turns before it: work that grows as the square of the turns."""
_OF_A_MESSAGE = {"role", "content", "weight"}


class Turn(NamedTuple):
    """What one side says; `learnt` where it is an answer to learn."""

    role: Role
    content: str
    learnt: bool


@dataclass(frozen=True, slots=True)
class Dialogue:
    """Turns that begin with the user's, perhaps behind the system's, and end with an answer; and where they stand."""

    turns: tuple[Turn, ...]
    line: int


def kind_of_record(values: Mapping[str, Any], line: int) -> RecordKind:
    """What a row is, by the fields that it has; a null is no field.

    Raises:
        BadField: it is none of the kinds, or several at once.
    """
    there = {name for name, value in values.items() if value is not None}
    found = [kind for kind, names in FIELDS.items() if there & (set(names) - {"input"})]
    if not found:
        told = "it has none of instruction and output, messages, prompt and completion"
        raise BadField(line, "", told)
    if len(found) > 1:
        first, second = (next(name for name in FIELDS[kind] if name in there) for kind in found[:2])
        raise BadField(line, second, f"it has {first} as well: a row is one kind of record")
    return found[0]


def dialogue_of(values: Mapping[str, Any], line: int, joint: str) -> Dialogue:
    """The dialogue of one row.

    Args:
        joint: what stands between an instruction and its input.

    Raises:
        BadField: a field is missing, empty or no text, roles are out of order, or no answer is to be learnt.
    """
    match kind_of_record(values, line):
        case "alpaca":
            return exchange(asked_of(values, line, joint), text_at(values, "output", line), line)
        case "prompted":
            return exchange(text_at(values, "prompt", line), text_at(values, "completion", line), line)
        case "chat":
            turns = turns_of(values["messages"], line)
            if turns[-1].role != "assistant":
                raise BadField(line, f"messages.{len(turns) - 1}.role", "the last one must be the assistant's answer")
            if not any(turn.learnt for turn in turns):
                raise BadField(line, "messages", "no answer is to be learnt: each has weight 0")
            return Dialogue(turns, line)


def exchange(asked: str, answer: str, line: int) -> Dialogue:
    return Dialogue((Turn("user", asked, False), Turn("assistant", answer, True)), line)


def asked_of(values: Mapping[str, Any], line: int, joint: str) -> str:
    """An instruction with its input, as one text."""
    return text_at(values, "instruction", line) + _joined(values, line, joint)


def turns_of(messages: object, line: int, field: str = "messages") -> tuple[Turn, ...]:
    """Messages as OpenAI has them: `role`, `content`, and of an answer perhaps `weight`, 0 (not learnt) or 1.

    Raises:
        BadField: it is no list of such, a text is empty, or the roles are out of order.
    """
    if not isinstance(messages, list) or not messages:
        raise BadField(line, field, "it must be a list of messages, and not an empty one")
    if len(messages) > MAX_TURNS:
        raise BadField(line, field, f"{len(messages):,} messages are more than {MAX_TURNS:,}")
    turns: list[Turn] = []
    for number, message in enumerate(messages):
        turn = _turn(message, line, f"{field}.{number}")
        _check_order(turns, turn.role, line, f"{field}.{number}.role")
        turns.append(turn)
    return tuple(turns)


def text_at(values: Mapping[str, Any], field: str, line: int) -> str:
    """The text of a field that must not be empty.

    Raises:
        BadField: it is missing, empty or no text.
    """
    if values.get(field) is None:
        raise BadField(line, field, "it is missing")
    return text_of(values[field], line, field)


def text_of(value: object, line: int, field: str) -> str:
    """`value`, if it is text that a tokenizer can take.

    Raises:
        BadField: it is empty or no text.
    """
    if not isinstance(value, str):
        raise BadField(line, field, f"it must be text, not {type(value).__name__}")
    if not value.strip():
        raise BadField(line, field, "it is empty")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadField(line, field, "it holds half a surrogate pair") from None
    return value


def _joined(values: Mapping[str, Any], line: int, joint: str) -> str:
    given = values.get("input")
    if given is None or given == "":
        return ""
    return joint + text_of(given, line, "input")


def _turn(message: object, line: int, field: str) -> Turn:
    if not isinstance(message, Mapping):
        raise BadField(line, field, "a message is an object with role and content")
    odd = sorted(message.keys() - _OF_A_MESSAGE)
    if odd:
        raise BadField(line, f"{field}.{odd[0][:50]}", "a message has role, content and weight alone")
    given = message.get("role")
    role = next((known for known in ROLES if known == given), None)
    if role is None:
        raise BadField(line, f"{field}.role", f"it must be one of {', '.join(ROLES)}")
    content = _content(message, line, field)
    weight = message.get("weight")
    if weight is not None:
        if role != "assistant":
            raise BadField(line, f"{field}.weight", "an answer alone has a weight")
        if isinstance(weight, bool) or weight not in (0, 1):
            raise BadField(line, f"{field}.weight", "it must be 0 or 1")
    return Turn(role, content, role == "assistant" and weight != 0)


def _content(message: Mapping[str, Any], line: int, field: str) -> str:
    if message.get("content") is None:
        raise BadField(line, f"{field}.content", "it is missing")
    return text_of(message["content"], line, f"{field}.content")


def _check_order(turns: Sequence[Turn], role: Role, line: int, field: str) -> None:
    """Pass a role that may come behind those turns."""
    before = turns[-1].role if turns else None
    may: tuple[Role, ...] = ("assistant",) if before == "user" else ("user",)
    if before is None:
        may = ("system", "user")
    if role not in may:
        behind = "at the beginning" if before is None else f"behind {before}"
        raise BadField(line, field, f"roles are out of order: {behind} comes {' or '.join(may)}, not {role}")
