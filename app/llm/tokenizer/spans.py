"""Which characters the bytes of a token belong to. Knows bytes and code points, nothing of vocabularies.

A token may begin or end in the middle of a character; its span then covers the whole character, so that tokens
which share one all point at it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

_CONTINUATION = bytes(range(0x80, 0xC0))  # bytes of UTF-8 that begin no character


def byte_spans(pieces: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Spans in code points of non-empty pieces whose bytes join to a text's UTF-8: (start, end), start < end."""
    begun = 0  # characters whose first byte lies before the piece
    for piece in pieces:
        start = begun - (0x80 <= piece[0] < 0xC0)  # begins inside a character that an earlier piece began
        begun += len(piece) if piece.isascii() else len(piece.translate(None, _CONTINUATION))
        yield start, begun


def spans_with_gaps(text: str, pieces: Iterable[bytes], missing: frozenset[int]) -> Iterator[tuple[int, int]]:
    """As `byte_spans`, of pieces that join to the UTF-8 of `text` less its `missing` bytes."""
    owners = (index for index, character in enumerate(text) for byte in character.encode() if byte not in missing)
    for piece in pieces:
        covered = list(islice(owners, len(piece)))
        yield covered[0], covered[-1] + 1
