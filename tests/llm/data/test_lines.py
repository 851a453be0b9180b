"""Lines: the pieces they come in make no difference, and what is no text is named by its line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.data import lines
from app.llm.data.lines import numbered_lines
from app.llm.errors import BadTable


@given(st.text(alphabet="ab\r\né "), st.integers(1, 9))
def test_lines_are_those_of_a_file_whatever_the_pieces(text: str, size: int) -> None:
    content = text.encode()
    chunks = [content[at : at + size] for at in range(0, len(content), size)]
    found = list(numbered_lines(chunks))
    assert [line for _, line in found] == re.findall(r"[^\n]*\n|[^\n]+$", text)
    assert [number for number, _ in found] == list(range(1, len(found) + 1))


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([b"a\nb\0\n"], "line 2 has a NUL character"),
        ([b"a\n", b"caf\xe9\n"], "line 2 is no UTF-8, from its byte 4 on"),
        ([b"a\n", b"12345", b"6789\n"], "line 2 is longer than 8 bytes"),
        ([b"123456789"], "line 1 is longer than 8 bytes"),
        ([b"1234567\n12345678\n"], "line 2 is longer than 8 bytes"),
    ],
)
def test_what_is_no_line_is_named(chunks: list[bytes], message: str) -> None:
    with pytest.raises(BadTable, match=message):
        list(numbered_lines(chunks, longest=8))


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    assert list(numbered_lines(["\ufeffa\n\ufeffb".encode()])) == [(1, "a\n"), (2, "\ufeffb")]


def test_more_lines_than_a_file_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 3)
    assert len(list(numbered_lines([b"\n\na\n"]))) == 3
    with pytest.raises(BadTable, match="more than 3 lines"):
        list(numbered_lines([b"\n\n\n", b"\n"]))
