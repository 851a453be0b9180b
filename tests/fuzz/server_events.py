"""Server-sent events: the same whatever the cut, and those of the standard; what reads their data survives any."""

from __future__ import annotations

import re
from contextlib import suppress

from app.cli.call import Refused, _event
from app.errors import RemoteFailed
from app.services.remote_refusals import stream_failure
from app.services.server_events import EventReader

LONGEST = 512


def check(content: bytes) -> None:
    size, content = content[0] % 16 + 1 if content else 1, content[1:]
    events = in_pieces(content, size)
    assert events == by_line(content)
    for data in events:
        with suppress(RemoteFailed):
            stream_failure(data, "secret")
        with suppress(Refused, ValueError):
            _event(data)


def in_pieces(content: bytes, size: int) -> list[str]:
    reader = EventReader()
    return [data for at in range(0, len(content), size) for data in reader.push(content[at : at + size])]


def by_line(content: bytes) -> list[str]:
    """The standard, on a whole text."""
    *lines, _ = re.split(rb"\r\n|\r|\n", content.removeprefix(b"\xef\xbb\xbf"))
    events, data = list[str](), list[bytes]()
    for line in lines:
        field, _, value = line.partition(b":")
        if not line:
            events += [b"\n".join(data).decode(errors="replace")] if data else []
            data = []
        elif field == b"data":
            data.append(value.removeprefix(b" "))
    return events
