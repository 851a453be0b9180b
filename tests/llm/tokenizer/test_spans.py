from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.llm.tokenizer.spans import byte_spans, spans_with_gaps

TEXTS = st.text(st.sampled_from("a é中👍\u0301\u200d🏽") | st.characters(exclude_categories=["Cs"]), max_size=30)


def cut(content: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted({index % len(content) for index in at} - {0}), len(content)] if content else [0]
    return [content[start:end] for start, end in pairwise(edges)]


def touched(text: str, pieces: list[bytes], missing: frozenset[int] = frozenset()) -> list[tuple[int, int]]:
    """By definition: the first and the last character that a byte of the piece belongs to."""
    owners = [index for index, character in enumerate(text) for byte in character.encode() if byte not in missing]
    spans = []
    for piece in pieces:
        mine, owners = owners[: len(piece)], owners[len(piece) :]
        spans.append((mine[0], mine[-1] + 1))
    return spans


def test_an_emoji_cut_in_two_belongs_to_both_tokens():
    assert list(byte_spans([b"a\xf0\x9f", b"\x91\x8d", b"b"])) == [(0, 2), (1, 2), (2, 3)]


def test_a_token_may_end_one_character_and_begin_the_next():
    assert list(byte_spans([b"\xe4\xb8", b"\xad\xe6", b"\x96\x87"])) == [(0, 1), (0, 2), (1, 2)]


@given(TEXTS, st.lists(st.integers(0, 1000)))
def test_spans_cover_every_character_that_a_piece_touches(text, at):
    pieces = cut(text.encode(), at)
    spans = list(byte_spans(pieces))
    assert spans == touched(text, pieces)
    assert all(start < end for start, end in spans)


@given(TEXTS, st.lists(st.integers(0, 1000)), st.frozensets(st.integers(0, 255)))
def test_with_bytes_missing_the_others_keep_their_characters(text, at, missing):
    pieces = cut(bytes(byte for byte in text.encode() if byte not in missing), at)
    assert list(spans_with_gaps(text, pieces, missing)) == touched(text, pieces, missing)
