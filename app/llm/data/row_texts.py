"""What a model would read of a row, and what is wrong with the row for what it is for. Knows no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.llm.data.columns import Kind, roles, text_column
from app.llm.data.instructions import PROMPT_STYLES, Instruction


@dataclass(frozen=True)
class RowReader:
    """Reads rows of one table as rows of a kind."""

    kind: Kind
    roles: dict[str, str]  # a column's name by what it is
    input: str | None  # instructions: the column of what they are about
    text: str | None  # records: the column to learn language from

    @classmethod
    def of(cls, kind: Kind, types: Mapping[str, str]) -> RowReader:
        """For a table whose columns have these `types` by name."""
        found = roles(kind, list(types))
        about = next((name for name in types if name.lower() in ("input", "context")), None)
        return cls(kind, found or {}, about, text_column(types))

    def read(self, values: Mapping[str, Any]) -> str:
        """The text: of instructions and preferences in the book's prompt style; of records without a column that is
        plainly the text, all their texts, a line each."""
        if self.kind == "labelled":
            return _text(values.get(self.roles["text"]))
        if self.kind == "instructions":
            return self._prompted(values, self.roles["instruction"], _text(values.get(self.roles["output"])))
        if self.kind == "preferences":
            answers = [_text(values.get(self.roles[role])) for role in ("chosen", "rejected")]
            column = next((name for name in ("instruction", "prompt", "question") if name in values), None)
            return self._prompted(values, column, max(answers, key=len))
        if self.kind == "chat":
            return "\n".join(_contents(values.get(self.roles["messages"])))
        if self.text is not None:
            return _text(values.get(self.text))
        return "\n".join(value for value in values.values() if isinstance(value, str))

    def wrong(self, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """Columns that are not as the kind needs them, each with what is wrong."""
        for role, name in self.roles.items():
            value = values.get(name)
            if value is None or value == [] or (isinstance(value, str) and not value.strip()):
                yield name, "it is empty"
            elif role == "messages":
                yield from ((name, told) for told in _wrong_messages(value))
            elif not isinstance(value, str) and role != "label":
                yield name, f"it must be text, not {type(value).__name__}"
            elif isinstance(value, list | dict):
                yield name, "a label is one word or number"

    def _prompted(self, values: Mapping[str, Any], column: str | None, answer: str) -> str:
        asked = _text(values.get(column)) if column else ""
        entry = Instruction(asked, _text(values.get(self.input)) if self.input else "", answer)
        return PROMPT_STYLES["alpaca"].answered(entry, answer)


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else str(value)


def _contents(messages: Any) -> Iterator[str]:
    for message in messages if isinstance(messages, list) else []:
        if isinstance(message, dict):
            yield _text(message.get("content", message.get("value")))


def _wrong_messages(messages: Any) -> Iterator[str]:
    if not isinstance(messages, list):
        yield f"it must be a list of messages, not {type(messages).__name__}"
        return
    for place, message in enumerate(messages, start=1):
        if not isinstance(message, dict):
            yield f"message {place} is no object"
        elif not isinstance(message.get("role", message.get("from")), str):
            yield f"message {place} has no role"
        elif not isinstance(message.get("content", message.get("value")), str):
            yield f"message {place} has no content"
