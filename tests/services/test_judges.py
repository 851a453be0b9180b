"""What a judge's server answers, read as far as it can be."""

from __future__ import annotations

import pytest

from app.services.judges import _read


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{}", b"\xff", b'{"choices": [{"message": {"content": 3}}]}'])
def test_what_is_no_completion_is_told_and_ends_nothing(body: bytes) -> None:
    reply = _read(7, body, 2)
    assert (reply.number, reply.text, reply.attempts) == (7, None, 2)
    assert "is no chat completion" in (reply.error or "")
