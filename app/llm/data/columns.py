"""What columns a table has, counted row by row, and what such a table may be good for. Knows no file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from app.llm.data.rows import MAX_COLUMNS, MAX_NAME_CHARACTERS, Row
from app.llm.errors import BadTable

Kind = Literal["labelled", "instructions", "chat", "preferences", "records"]
KINDS: tuple[Kind, ...] = ("preferences", "chat", "instructions", "labelled", "records")
"""In the order in which they are guessed."""

ROLES: dict[Kind, dict[str, tuple[str, ...]]] = {
    "preferences": {"chosen": ("chosen",), "rejected": ("rejected",)},
    "chat": {"messages": ("messages", "conversations", "conversation")},
    "instructions": {
        "instruction": ("instruction", "prompt", "question"),
        "output": ("output", "response", "completion", "answer"),
    },
    "labelled": {
        "label": ("label", "category", "class", "intent", "sentiment"),
        "text": ("text", "sentence", "content", "message", "question"),
    },
    "records": {},
}
"""What each kind needs, and the names, first the best, of columns that may be it."""

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_NUMBERS_BEGIN = frozenset(" +-.0123456789")
_LONGEST_NUMBER = 64


@dataclass
class Column:
    """A column: how many rows have something in it, of which types, and the characters of its texts."""

    name: str
    filled: int = 0
    characters: int = 0
    types: dict[str, int] = field(default_factory=dict)

    @property
    def type(self) -> str:
        """`text`, `number`, `boolean`, `list` or `object` where all are; else `mixed`, or `empty`."""
        return "empty" if not self.types else next(iter(self.types)) if len(self.types) == 1 else "mixed"

    def count(self, value: Any) -> None:
        if value is None or (isinstance(value, str) and (not value or value.isspace())):
            return
        self.filled += 1
        kind = _type(value)
        self.types[kind] = self.types.get(kind, 0) + 1
        if isinstance(value, str):
            self.characters += len(value)


class Columns:
    """The columns of the rows that were counted, in the order in which they came up."""

    def __init__(self) -> None:
        self._known: dict[str, Column] = {}

    def count(self, row: Row) -> None:
        """Note a row's values.

        Raises:
            BadTable: a column's name is blank, too long or has control characters, or there are too many columns.
        """
        for name, value in row.values.items():
            column = self._known.get(name)
            if column is None:
                column = self._known[name] = Column(self._checked(name, row.line))
            column.count(value)

    def found(self) -> list[Column]:
        return list(self._known.values())

    def _checked(self, name: str, line: int) -> str:
        if len(self._known) >= MAX_COLUMNS:
            raise BadTable(f"line {line}: there are more than {MAX_COLUMNS:,} columns")
        if len(name) > MAX_NAME_CHARACTERS:
            raise BadTable(f"line {line}: the name of a column has more than {MAX_NAME_CHARACTERS} characters")
        if not name.strip() or not name.isprintable():
            raise BadTable(f"line {line}: the name of a column is {name!r}")
        return name


def kind_of(columns: Sequence[str]) -> Kind:
    """What a table with such columns is for."""
    return next(kind for kind in KINDS if roles(kind, columns) is not None)


def roles(kind: Kind, columns: Sequence[str]) -> dict[str, str] | None:
    """Which column is what, for a kind; None: one that it needs is not there. One column is never two things."""
    lower: dict[str, str] = {}
    for name in columns:
        lower.setdefault(name.lower(), name)
    found: dict[str, str] = {}
    for role, names in ROLES[kind].items():
        column = next((lower[name] for name in names if name in lower and lower[name] not in found.values()), None)
        if column is None:
            return None
        found[role] = column
    return found


def text_column(types: Mapping[str, str]) -> str | None:
    """The column to learn language from: `text` if there is one, else the only one of texts. `types` by name."""
    texts = [name for name, kind in types.items() if kind in ("text", "mixed")]
    named = [name for name in texts if name.lower() == "text"]
    return named[0] if named else texts[0] if len(texts) == 1 else None


def _type(value: Any) -> str:
    if isinstance(value, str):
        return "number" if value[0] in _NUMBERS_BEGIN and _NUMBER.fullmatch(value[:_LONGEST_NUMBER]) else "text"
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "list" if isinstance(value, list) else "object"
