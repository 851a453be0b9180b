"""Rows of a CSV file with a head: commas, semicolons or tabs, quotation marks as in RFC 4180. Values stay text.

What is no such row is handed out as a bad row, and reading goes on.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from app.llm.data.rows import LONGEST_ROW, MAX_COLUMNS, BadRow, Row, Table
from app.llm.errors import BadTable

if TYPE_CHECKING:
    from _csv import Reader as CsvReader

DELIMITERS = ",\t;"

csv.field_size_limit(LONGEST_ROW)  # one number for the whole process: a text may be longer than csv's own 128 KiB


def fields(lines: Iterable[str], delimiter: str, *, quotes: bool = True, strict: bool = False) -> CsvReader:
    """The fields of each row, for all that read tables here: csv knows one limit for a field, set above.

    Args:
        quotes: a field that begins with a quotation mark goes on to the next one; otherwise the marks are text.
        strict: a quotation mark where none may be is an error.
    """
    return csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE, strict=strict
    )


def read_csv(lines: Iterable[tuple[int, str]]) -> Table:
    """The rows under the head of numbered lines; blank lines are let be.

    Raises:
        BadTable: there is no head, or one of too many columns or of two with one name. While rows are read: one goes
            on for ever, or to the end of the file, as after a quotation mark that nothing closes.
    """
    fed = _Fed(iter(lines))
    fed.begin_row()
    first = next((text for text in fed if not text.isspace()), None)
    if first is None:
        raise BadTable("there is no line in it")
    delimiter = max(DELIMITERS, key=first.count)
    fed.put_back(first)
    reader = fields(fed, delimiter, strict=True)
    try:
        head = next(reader)
    except (csv.Error, StopIteration) as error:
        raise BadTable(f"line {fed.first}: the head cannot be read: {error or 'it has no end'}") from None
    if len(head) > MAX_COLUMNS:
        raise BadTable(f"line {fed.first}: {len(head):,} columns are more than {MAX_COLUMNS:,}")
    names = [name.strip() or f"column_{place}" for place, name in enumerate(head, start=1)]
    twice, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise BadTable(f"line {fed.first}: {count} columns are called {twice[:100]!r}; is the first line a head?")
    return Table(names, _rows(reader, fed, names))


class _Fed(Iterator[str]):
    """The lines for csv.reader; knows where the row that it reads began, and ends one that is too long."""

    def __init__(self, lines: Iterator[tuple[int, str]]) -> None:
        self._lines = lines
        self._again: str | None = None
        self.first = 0  # line of the row
        self.is_at_end = False
        self._size = 0

    def begin_row(self) -> None:
        self.first = self._size = 0

    def put_back(self, text: str) -> None:
        self._again = text

    def __next__(self) -> str:
        if self._again is not None:
            text, self._again = self._again, None
            return text
        try:
            number, text = next(self._lines)
        except StopIteration:
            self.is_at_end = True
            raise
        if self._size == 0 and not text.isspace():
            self.first = number
        if self.first:
            self._size += len(text)
        if self._size > LONGEST_ROW:
            told = f"the row that begins at line {self.first} is longer than {LONGEST_ROW:,} characters"
            raise BadTable(f"{told}; is a quotation mark missing?")
        return text


def _rows(reader: CsvReader, fed: _Fed, names: list[str]) -> Iterator[Row | BadRow]:
    while True:
        fed.begin_row()
        try:
            found = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if fed.is_at_end:
                told = f"the row that begins at line {fed.first} has a quotation mark that nothing closes"
                raise BadTable(told) from None
            if fed.first:  # else a blank line with a stray CR
                yield BadRow(fed.first, None, f"no CSV: {error}")
            continue
        if not found or not fed.first:
            continue  # a blank line
        if len(found) == len(names):
            yield Row(fed.first, dict(zip(names, found, strict=True)))
        else:
            yield BadRow(fed.first, None, f"{len(found)} fields; the head has {len(names)}")
