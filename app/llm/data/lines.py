"""A text file in lines of bounded length, counted from 1, as its bytes come in. Knows no format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from app.llm.data.rows import LONGEST_ROW
from app.llm.errors import BadTable

MAX_LINES = 20_000_000
"""Of one file, blank ones too: each takes a microsecond of whoever reads it, and a bomb of them packs to nothing."""
BYTE_ORDER_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"


def numbered_lines(chunks: Iterable[bytes], longest: int = LONGEST_ROW) -> Iterator[tuple[int, str]]:
    """Lines with their numbers and ends; a byte order mark before the first is left out.

    Raises:
        BadTable: a line is longer than `longest` bytes, is no UTF-8, or has a NUL character, or there are too many.
    """
    for number, line in enumerate(_lines(chunks, longest), start=1):
        if number > MAX_LINES:
            raise BadTable(f"it has more than {MAX_LINES:,} lines; send it in parts")
        if b"\0" in line:
            raise BadTable(f"line {number} has a NUL character; is it a text file?")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            told = f"line {number} is no UTF-8, from its byte {error.start + 1} on"
            raise BadTable(f"{told}; save the file as UTF-8 and send it again") from None
        yield number, text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text


def _lines(chunks: Iterable[bytes], longest: int) -> Iterator[bytes]:
    held: list[bytes] = []  # of a line whose end has not come
    size, count = 0, 0
    for chunk in chunks:
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            count += 1
            _check(size + end + 1 - start, longest, count)
            yield b"".join([*held, chunk[start : end + 1]])
            held, size, start = [], 0, end + 1
        held.append(chunk[start:])
        size += len(chunk) - start
        _check(size, longest, count + 1)
    if size:
        yield b"".join(held)


def _check(size: int, longest: int, number: int) -> None:
    if size > longest:
        raise BadTable(f"line {number} is longer than {longest:,} bytes")
