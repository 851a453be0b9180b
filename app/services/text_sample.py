"""Parts of a text file from all over it, so that a long one need not be read whole. Knows bytes and words' ends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import gcd
from pathlib import Path
from typing import BinaryIO

_LOOKED_AT_BYTES = 4096
_WORDS_END = re.compile(rb"\S(?=[ \n])")


def parts(path: Path, max_bytes: int, block_bytes: int = 1 << 16) -> list[tuple[int, int]]:
    """Where to read about `max_bytes` of a file: (start, end) of blocks evenly spread over it, in their order.

    A file that is no longer is covered whole, each byte once. Blocks begin and end between a word and white space
    where there is any nearby, and never inside a character.

    Raises:
        FileNotFoundError: there is no such file.
    """
    size = path.stat().st_size
    blocks = -(-size // block_bytes)
    wanted = min(blocks, max(1, max_bytes // block_bytes))
    with path.open("rb") as file:
        indices = (n * blocks // wanted for n in range(wanted))
        return [(_cut(file, i * block_bytes, size), _cut(file, (i + 1) * block_bytes, size)) for i in indices]


def texts(path: Path, places: list[tuple[int, int]]) -> Iterator[str]:
    """The text of each place, read when it is asked for.

    Raises:
        FileNotFoundError: there is no such file.
    """
    with path.open("rb") as file:
        for start, end in places:
            file.seek(start)
            yield file.read(end - start).decode()


def spread(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same places in an order whose every beginning is spread over all of them."""
    count = len(places)
    step = max(1, round(count * 0.618))  # the golden section leaves no large gap however early one stops
    while gcd(step, count) != 1:
        step += 1
    return [places[n * step % count] for n in range(count)]


def _cut(file: BinaryIO, offset: int, size: int) -> int:
    """The first good place from `offset` on."""
    if offset == 0 or offset >= size:
        return min(offset, size)
    file.seek(offset)
    window = file.read(_LOOKED_AT_BYTES)
    found = _WORDS_END.search(window)
    if found is not None:
        return offset + found.end()
    inside = next((n for n, byte in enumerate(window) if not 0x80 <= byte < 0xC0), len(window))
    return offset + inside
