"""Server-sent events: what the standard says, however the bytes are cut."""

from __future__ import annotations

import json

import pytest
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from hypothesis import given
from hypothesis import strategies as st

from app.services.server_events import EventReader, EventTooLong
from tests.fuzz.server_events import by_line, in_pieces

LINES = st.sampled_from(
    ["data: a", "data:b", "data", "data:", "data:  c", "datax: d", ": e", "id: 1", "", "", "\ufeff"]
)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@given(st.lists(st.tuples(LINES, ENDS)), st.integers(1, 9))
def test_events_are_those_of_the_standard_however_they_are_cut(lines: list[tuple[str, str]], size: int) -> None:
    content = "".join(line + end for line, end in lines).encode()
    assert in_pieces(content, size) == by_line(content)


@given(st.text(), st.integers(1, 9))
def test_what_we_send_is_read(text: str, size: int) -> None:
    sent = KEEPALIVE_COMMENT + format_sse_event(data_str=json.dumps(text, ensure_ascii=False))
    assert [json.loads(data) for data in in_pieces(sent, size)] == [text]


@pytest.mark.parametrize("content", [b"data: " + b"x" * 200, b"data: x\r" * 40, b": x\n" * 60])
def test_an_event_without_end_is_not_kept(content: bytes) -> None:
    reader = EventReader(most_bytes=100)
    pieces = (data for at in range(0, len(content), 7) for data in reader.push(content[at : at + 7]))
    with pytest.raises(EventTooLong, match="more than 100 bytes"):
        next(pieces)
