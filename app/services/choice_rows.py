"""Rows of multiple choice: a question, what may be its answer, and which of them is. Free of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from app.services.job_rows import Line

MAX_CHOICES = len(ascii_uppercase)  # each has a letter
COLUMNS: dict[str, tuple[str, ...]] = {
    "question": ("question", "question_stem", "query"),
    "choices": ("choices", "options", "endings"),
    "answer": ("answer", "answerkey", "answer_key", "label", "target"),
}
"""What is needed, and the names, first the best, of columns that may be it."""


@dataclass(frozen=True)
class ChoiceRow:
    """What a row asks; `answer` is the place of the right one among `choices`, from 0."""

    line: int
    question: str
    choices: tuple[str, ...]
    answer: int


def choice_columns(names: Sequence[str], named: Mapping[str, str]) -> dict[str, str] | None:
    """Which column is what: those that were named, the others by their usual names; None: one cannot be found."""
    lower = {name.lower(): name for name in reversed(names)}
    found = dict(named)
    for role, usual in COLUMNS.items():
        free = (lower[name] for name in usual if name in lower and lower[name] not in found.values())
        if role not in found and (column := next(free, None)) is not None:
            found[role] = column
    return {role: found[role] for role in COLUMNS} if COLUMNS.keys() <= found.keys() else None


def choice_of(line: Line, columns: Mapping[str, str]) -> ChoiceRow:
    """What a row asks.

    Raises:
        InvalidRequest: a field is missing or of another form, or the answer is none of the choices; with the line.
    """
    choices, labels = _choices(line, columns["choices"])
    answer = _answer(line, columns["answer"], choices, labels)
    return ChoiceRow(line.number, line.text(columns["question"]), choices, answer)


def _choices(line: Line, column: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The choices, and what each is called beside its letter: nothing but where they come as `{text, label}`."""
    value: Any = line.values.get(column)
    labels: Any = ()
    if isinstance(value, dict) and {"text", "label"} <= value.keys():
        value, labels = value["text"], value["label"]
        if not isinstance(labels, list) or not isinstance(value, list) or len(labels) != len(value):
            raise line.refused(f"{column}: text and label must be lists of the same length")
    if not isinstance(value, list):
        told = "is missing" if value is None else f"must be a list of texts, not {type(value).__name__}"
        raise line.refused(f"{column} {told}")
    if not 2 <= len(value) <= MAX_CHOICES:
        raise line.refused(f"{column}: there are {len(value)}; from 2 to {MAX_CHOICES} are expected")
    return tuple(_text(line, column, each) for each in value), tuple(map(str, labels))


def _text(line: Line, column: str, value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        raise line.refused(f"{column}: each must be text, not {type(value).__name__}")
    if not value.strip():
        raise line.refused(f"{column}: one is empty")
    return value


def _answer(line: Line, column: str, choices: tuple[str, ...], labels: tuple[str, ...]) -> int:
    """The place of the right one, told as its place from 0, its text, its label or its letter."""
    value: Any = line.values.get(column)
    if isinstance(value, int) and not isinstance(value, bool) and not labels:
        if not 0 <= value < len(choices):
            raise line.refused(f"{column}: {value} is no place among {len(choices)} choices, counted from 0")
        return value
    told = line.text(column).strip()
    for names in ([each.strip() for each in choices], labels, ascii_uppercase[: len(choices)]):
        if names.count(told) > 1:
            raise line.refused(f"{column}: {told[:100]!r} is more than one of the choices")
        if told and told in tuple(names):
            return names.index(told)
    raise line.refused(f"{column}: {told[:100]!r} is neither the text nor the letter of a choice")
