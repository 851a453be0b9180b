"""Rows of named values, whatever file they come from: what readers hand out, and the one form in which they are kept.

The kept form is JSON, a row a line, and each row stands at the line at which it began in its own file: what is said of
it later names a line that its owner can look up. Lines without a row are blank. Knows no format but this.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple

MIB = 1024 * 1024
LONGEST_ROW = 8 * MIB
"""Bytes; a row of nothing but brackets takes twenty times as much memory once it is read."""
MAX_COLUMNS = 1000
MAX_NAME_CHARACTERS = 200
_GAP = b"\n" * MIB

_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


class Row(NamedTuple):
    """A row that can be used, and the line at which it begins, from 1."""

    line: int
    values: dict[str, Any]


class BadRow(NamedTuple):
    """A row that cannot, and why; `field` is the column to blame, where it is one."""

    line: int
    field: str | None
    reason: str


class Table(NamedTuple):
    """A file of rows. `columns` are known from its beginning, or (None) only once all rows are read."""

    columns: list[str] | None
    rows: Iterator[Row | BadRow]


class RowWriter:
    """Writes rows in the kept form; with `columns` as lists in their order, which are shorter than objects."""

    def __init__(self, file: BinaryIO, columns: Sequence[str] | None) -> None:
        self._file, self._columns = file, columns
        self._line = 1
        self.size_bytes = 0

    def write(self, row: Row) -> None:
        """Add a row; rows come in the order of their lines.

        Raises:
            UnicodeEncodeError: half a surrogate pair, which UTF-8 cannot hold; nothing is written.
        """
        values = row.values if self._columns is None else [row.values[name] for name in self._columns]
        content = _ENCODER.encode(values).encode()
        gap = row.line - self._line
        self.size_bytes += gap + len(content)
        while gap:  # in pieces: millions of blank lines may stand between two rows
            gap -= self._file.write(_GAP[:gap])
        self._file.write(content)
        self._line = row.line


def read_rows(lines: Iterable[bytes], columns: Sequence[str], after: int = 0) -> Iterator[Row]:
    """Rows in the kept form, those behind line `after`; `columns` are the names of those that were written as lists."""
    for number, line in enumerate(lines, start=1):
        if number > after and len(line) > 1:
            yield Row(number, row_of(line, columns))


def row_of(line: bytes, columns: Sequence[str]) -> dict[str, Any]:
    """One line of the kept form that is not blank."""
    values = json.loads(line)
    return values if isinstance(values, dict) else dict(zip(columns, values, strict=True))
