"""Paragraphs of a text: where they begin, and that long ones come in parts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.llm.data.paragraphs import paragraphs


def test_blank_lines_part_them() -> None:
    lines = ["\n", "a\n", "b\n", " \n", "\n", "c"]
    assert list(paragraphs(lines)) == [(2, "a\nb\n"), (6, "c")]


def test_a_long_one_comes_in_parts() -> None:
    assert list(paragraphs(["abc\n", "def\n", "ghi"], longest=8)) == [(1, "abc\ndef\n"), (3, "ghi")]
    assert list(paragraphs(["abcdef", "ghi\n", "j\n"], longest=6)) == [(1, "abcdef"), (1, "ghi\nj\n")]


@given(st.text(alphabet="ab \n"), st.integers(1, 5))
def test_nothing_but_blank_lines_is_lost(text: str, longest: int) -> None:
    lines = text.splitlines(keepends=True)
    found = list(paragraphs(lines, longest))
    assert "".join(part for _, part in found) == "".join(line for line in lines if line.strip())
    assert all(text.split("\n")[number - 1] in part for number, part in found)
