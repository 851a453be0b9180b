"""Text read in pieces: the pieces make no difference, and the first bad byte is found."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidFile, UnsupportedFormat
from app.services.text_files import TextReader


def read(content: bytes, cuts: list[int]) -> TextReader:
    reader = TextReader()
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    for start, end in pairwise(places):
        reader.take(content[start:end])
    reader.finish()
    return reader


@given(st.text(min_size=1), st.lists(st.integers(0, 200)))
def test_any_text_in_any_pieces_is_counted_the_same(text: str, cuts: list[int]) -> None:
    content = text.encode()
    if "\0" in text or not text.strip().strip("\ufeff"):
        with pytest.raises((InvalidFile, UnsupportedFormat)):
            read(content, cuts)
        return
    reader = read(content, cuts)
    assert reader.size_bytes == len(content)
    assert reader.characters == len(text)
    assert reader.lines == text.count("\n") + (text[-1] != "\n")
    assert reader.sha256 == hashlib.sha256(content).hexdigest()
    assert reader.has_byte_order_mark == text.startswith("\ufeff")


@given(st.binary(min_size=1), st.lists(st.integers(0, 200)))
def test_bytes_that_are_no_utf8_are_refused_at_the_right_place(content: bytes, cuts: list[int]) -> None:
    good = content.decode(errors="ignore").encode()
    if good == content:
        return
    with pytest.raises((InvalidFile, UnsupportedFormat)) as refusal:
        read(content, cuts)
    if b"\0" not in content and isinstance(refusal.value, InvalidFile):
        content[: int(refusal.value.message.split()[4])].decode()  # all is well before the place that is named


def test_a_bad_byte_behind_a_cut_character_is_named() -> None:
    reader = TextReader()
    reader.take("aé".encode()[:2])
    with pytest.raises(InvalidFile, match="bytes at 1 are"):
        reader.take(b"b")
