"""The book's numbers that the lessons show, and how each is compared with the reader's.

They are in `book.json`, each with the section it stands in; a test compares them with `tests/golden/`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

Style = Literal["plain", "count", "decimals", "exponent"]

BOOK: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "book.json").read_text())["facts"]
"""By id: `section`, `inputs`, `expected`, `tolerance`."""


NOTHING = "nothing"
"""What is shown where an answer has no value."""


def at(value: Any, path: str) -> Any:
    """What stands at `path` of an answer; `*` goes through a list, `label=ham` takes what has that label.

    `NOTHING` where nothing does.
    """
    name, _, rest = path.partition(".")
    if not name:
        return value
    if isinstance(value, list):
        if name == "*":
            return [at(each, rest) for each in value]
        if "=" in name:
            key, _, wanted = name.partition("=")
            return at(next((each for each in value if each[key] == wanted), NOTHING), rest)
        return at(value[int(name)], rest) if name.isdecimal() and int(name) < len(value) else NOTHING
    return at(value[name], rest) if isinstance(value, dict) and name in value else NOTHING


def _visible(text: str) -> str:
    """The text; of one that begins or ends with white space, all of that as signs."""
    return text if text == text.strip() else text.replace(" ", "·").replace("\n", "⏎")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Compared:
    """The reader's number (or several) as text, of how many values, and how many of them are not the book's."""

    shown: Any
    total: int
    off: int


@dataclass(frozen=True)
class Check:
    """A number of the book's (or several), by its `fact` in `book.json` and the `part` of that (`a/b`), and its place
    `at` in the answer, where `*` goes through a list.

    What is compared may be off by as much as the fact says, or by `absolute`, or by `relative` of its size.
    """

    label: str
    at: str
    fact: str
    part: str = ""
    style: Style = "plain"
    digits: int = 4
    absolute: float | None = None
    relative: float | None = None

    @property
    def expected(self) -> Any:
        found: Any = BOOK[self.fact]["expected"]
        for name in self.part.split("/") if self.part else ():
            found = found[int(name)] if isinstance(found, list) else found[name]
        return found

    @property
    def allowed(self) -> tuple[float, float]:
        """By how much, and by what share of its size, a number may be off."""
        if self.absolute is not None or self.relative is not None:
            return self.absolute or 0.0, self.relative or 0.0
        tolerance: Any = BOOK[self.fact]["tolerance"] or 0.0
        return (0.0, float(tolerance["rel"])) if isinstance(tolerance, dict) else (float(tolerance), 0.0)

    @property
    def book(self) -> Any:
        """The expected value as text, in lists where it is lists."""
        return self._shown(self.expected)

    @property
    def is_wide(self) -> bool:
        """Rows of numbers, which a narrow window may have to scroll."""
        return isinstance(self.expected, list) and isinstance(self.expected[0], list)

    def compare(self, answer: Any) -> Compared:
        """What the answer has in its place, beside what the book has there."""
        found = at(answer, self.at)
        same = list(self._same(found, self.expected))
        return Compared(self._shown(found), len(same), same.count(False))

    @property
    def told(self) -> dict[str, Any]:
        """What the page's script needs to know."""
        absolute, relative = self.allowed
        return {
            "label": self.label,
            "at": self.at,
            "expected": self.expected,
            "absolute": absolute,
            "relative": relative,
            "style": self.style,
            "digits": self.digits,
        }

    def _same(self, found: Any, expected: Any) -> Iterator[bool]:
        """Of each single value whether it is the book's, within what is allowed."""
        if isinstance(found, list) or isinstance(expected, list):
            lists = (each if isinstance(each, list) else [each] for each in (found, expected))
            for one, other in zip_longest(*lists, fillvalue=NOTHING):
                yield from self._same(one, other)
        elif _is_number(found) and _is_number(expected):
            absolute, relative = self.allowed
            yield abs(found - expected) <= absolute + relative * abs(expected)
        else:
            yield found == expected

    def _shown(self, value: Any) -> Any:
        if isinstance(value, list):
            return [self._shown(each) for each in value]
        if value is None:
            return "−∞"
        if not _is_number(value):
            return _visible(str(value))
        if self.style == "decimals":
            return f"{value:.{self.digits}f}".replace("-", "−")
        if self.style == "exponent":
            return f"{value:.{self.digits}e}".replace("-", "−")
        return f"{value:,}" if self.style == "count" else str(value)
