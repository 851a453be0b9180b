"""Server-sent events out of the bytes of an answer, however these are cut. Knows no connection and no JSON.

As the standard has it (html.spec.whatwg.org, "server-sent events"): lines end with CR, LF or both; what is no field
`data` is let be; an event that no blank line ends is dropped. Lines do not end at U+2028 and its like, as httpx's do:
those may stand in the middle of a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_EVENT_BYTES = 16 * 1024 * 1024
_LINE_END = re.compile(rb"\r\n|\r|\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLong(ValueError):
    """An event does not end within so many bytes as are read."""


class EventReader:
    """Takes bytes, gives the data of each event that they end."""

    def __init__(self, most_bytes: int = MAX_EVENT_BYTES) -> None:
        self._most_bytes = most_bytes
        self._begun: list[bytes] = []  # of a line whose end has not come
        self._data: list[bytes] = []  # of an event whose end has not come
        self._size = 0  # of both, with what was let be
        self._ends_with_cr = self._has_begun = False

    def push(self, chunk: bytes) -> Iterator[str]:
        """The data of the events that end within `chunk`, as text; what is no UTF-8 in them is U+FFFD.

        Raises:
            EventTooLong: the one that has begun is longer than is read.
        """
        if self._ends_with_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._ends_with_cr = False
        self._ends_with_cr = self._ends_with_cr or chunk.endswith(b"\r")
        self._size += len(chunk)
        *ends, rest = _LINE_END.split(chunk)
        for end in ends:
            if (line := self._line(end)) == b"":
                if self._data:
                    yield b"\n".join(self._data).decode(errors="replace")
                self._data.clear()
                self._size = len(rest)
            elif line == b"data" or line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
        if rest:
            self._begun.append(rest)
        if self._size > self._most_bytes:
            raise EventTooLong(f"an event of more than {self._most_bytes:,} bytes")

    def _line(self, end: bytes) -> bytes:
        line = b"".join([*self._begun, end])
        self._begun.clear()
        if not self._has_begun:
            self._has_begun = True
            return line.removeprefix(_BYTE_ORDER_MARK)
        return line
