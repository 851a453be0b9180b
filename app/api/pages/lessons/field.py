"""Something of a request that the reader of a lesson may change: what it is called, and what a written value says."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["line", "text", "integer", "number", "numbers", "rows", "lines", "choice", "dataset", "model"]


NARROW_CHARACTERS = 14


class Unreadable(Exception):
    """What stands in a field is no number, or none of its choices."""

    def __init__(self, field: Field, text: str, reason: str = "is not a number") -> None:
        super().__init__(f"{field.label}: “{text.strip()[:40]}” {reason}.")
        self.field = field


@dataclass(frozen=True)
class Field:
    """`name` is its path in the body, or its place in the address.

    A `dataset` offers those of this machine of the kind that `of` names, the public set `prefers` before all others; a
    `model` those that write, or with `of` "classifier" those that tell classes. Where there are none, `none` says what
    to do.
    """

    name: str
    label: str
    value: Any
    kind: Kind = "line"
    hint: str = ""
    choices: tuple[tuple[Any, str], ...] = ()
    of: str = ""
    prefers: str = ""
    none: str = ""

    @property
    def id(self) -> str:
        return self.name.replace(".", "-")

    @property
    def is_wide(self) -> bool:
        """It needs a line of its own."""
        if self.kind == "choice":
            return any(len(words) > NARROW_CHARACTERS for _, words in self.choices)
        if self.kind == "numbers":
            return len(self.written) > 2 * NARROW_CHARACTERS
        return self.kind not in ("integer", "number")

    @property
    def is_offered(self) -> bool:
        return self.kind in ("dataset", "model")

    @property
    def written(self) -> str:
        """The value as the reader sees it: a line for each row or text, numbers with spaces between them."""
        if self.kind == "rows":
            return "\n".join(" ".join(map(str, row)) for row in self.value)
        if self.kind == "lines":
            return "\n".join(self.value)
        if self.kind == "numbers":
            return " ".join(map(str, self.value))
        return "" if self.value is None else str(self.value)

    @property
    def reads_as(self) -> str:
        """How a written value is read: choices may be of numbers."""
        return "integer" if self.kind == "choice" and isinstance(self.choices[0][0], int) else self.kind

    def read(self, text: str) -> Any:
        """The value that `text` stands for, None where a number or a name was left out.

        Raises:
            Unreadable: it holds something else than numbers, where it should, or none of the choices.
        """
        kind = self.reads_as
        if self.kind == "choice" and text not in (str(value) for value, _ in self.choices):
            raise Unreadable(self, text, "is none of the choices")
        if self.is_offered and not text:
            return None
        if kind in ("integer", "number"):
            return self._number(text) if text.strip() else None
        if kind == "numbers":
            return self._numbers(text)
        if kind in ("rows", "lines"):
            lines = [line for line in re.split(r"\r?\n", text) if line.strip()]
            return lines if kind == "lines" else [self._numbers(line) for line in lines]
        return text.replace("\r\n", "\n")  # as a form sends it

    def _numbers(self, text: str) -> list[int | float]:
        return [self._number(part) for part in re.split(r"[\s,]+", text) if part]

    def _number(self, text: str) -> int | float:
        plain = text.strip().replace("−", "-")
        try:
            value = float(plain)
        except ValueError:
            raise Unreadable(self, text) from None
        if not math.isfinite(value) or "_" in plain:
            raise Unreadable(self, text)
        return int(plain) if re.fullmatch(r"[+-]?\d{1,30}", plain) else value
