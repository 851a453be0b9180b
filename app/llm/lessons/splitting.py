"""Section 2.2: a text becomes words and punctuation, in three growing patterns. The last is `tokenizer/word.py`'s."""

from __future__ import annotations

import re

WHITE_SPACE = r"(\s)"
COMMAS_AND_STOPS = r"([,.]|\s)"
ALL_PUNCTUATION = r'([,.:;?_!"()\']|--|\s)'


def split(text: str, pattern: str) -> list[str]:
    """Pieces between the places that `pattern` finds and, as it has a group, those places too.

    Where two of them touch, an empty piece lies between.
    """
    return re.split(pattern, text)


def without_blanks(pieces: list[str]) -> list[str]:
    """The pieces that hold more than white space, without what of it is around them."""
    return [piece.strip() for piece in pieces if piece.strip()]
