"""Rows of a JSONL file: an object a line. What is no such line is handed out as a bad row, and reading goes on."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from app.llm.data.rows import MAX_NAME_CHARACTERS, BadRow, Row, Table

DEEPEST = 50
_TOO_DEEP = f"lists and objects lie within each other more than {DEEPEST} deep"


def read_jsonl(lines: Iterable[tuple[int, str]]) -> Table:
    """The rows of numbered lines; blank lines are let be. Columns are known once all of them are read."""
    return Table(None, _rows(lines))


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[Row | BadRow]:
    for number, text in lines:
        if not text.isspace():
            yield _row(number, text)


def _row(number: int, text: str) -> Row | BadRow:
    try:
        value = _DECODER.decode(text)
        if "\\ud" in text or "\\uD" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        return BadRow(number, None, f"no JSON: {error.msg} at character {error.pos + 1}")
    except UnicodeEncodeError:
        return BadRow(number, None, "half a surrogate pair stands in it")
    except RecursionError:
        return BadRow(number, None, _TOO_DEEP)
    except _BadValue as error:
        return BadRow(number, error.field, error.reason)
    except ValueError:  # of int(), which refuses thousands of digits
        return BadRow(number, None, "a number has too many digits")
    told = _wrong(value, text)
    return Row(number, value) if told is None else BadRow(number, None, told)


def _wrong(value: Any, text: str) -> str | None:
    """Why a JSON value is no row; None: it is one."""
    if not isinstance(value, dict):
        return f"a row is an object in braces, not {_KINDS.get(type(value), 'null')}"
    if not value:
        return "the object is empty"
    if text.count("[") + text.count("{") > DEEPEST and _is_deeper(value, DEEPEST):
        return _TOO_DEEP
    return None


_KINDS: dict[type, str] = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}


def _is_deeper(value: Any, most: int) -> bool:
    """Whether lists and objects lie within each other more than `most` deep."""
    level = [value]
    for _ in range(most):
        inner = (one.values() if isinstance(one, dict) else one for one in level)
        level = [each for group in inner for each in group if isinstance(each, list | dict)]
    return bool(level)


class _BadValue(Exception):
    def __init__(self, field: str | None, reason: str) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in twice[:MAX_NAME_CHARACTERS])
        raise _BadValue(shown, "it is there twice")  # a database cannot hold every character of JSON
    return made


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise _BadValue(None, f"the number {digits[:50]} is too large")
    return number


def _constant(name: str) -> float:
    raise _BadValue(None, f"{name} is no JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_constant=_constant)
