"""Section 2.2's patterns, one after the other, and that the last is what the tokenizer splits with."""

from __future__ import annotations

from typing import Any

from app.llm.lessons.splitting import ALL_PUNCTUATION, COMMAS_AND_STOPS, WHITE_SPACE, split, without_blanks
from app.llm.tokenizer.word import words


def test_white_space_is_kept_as_a_piece() -> None:
    assert split("Hello, world.", WHITE_SPACE) == ["Hello,", " ", "world."]


def test_commas_and_full_stops_become_pieces(golden: Any) -> None:
    fact, filtered = golden("ch02.regex.punct"), golden("ch02.regex.punct.filtered")
    assert fact["inputs"]["pattern"] == filtered["inputs"]["pattern"] == COMMAS_AND_STOPS
    pieces = split(fact["inputs"]["text"], COMMAS_AND_STOPS)
    assert pieces == fact["expected"]
    assert without_blanks(pieces) == filtered["expected"]


def test_the_last_pattern_is_the_tokenizers(golden: Any, verdict: str) -> None:
    fact = golden("ch02.regex.full")
    assert fact["inputs"]["pattern"] == ALL_PUNCTUATION
    assert without_blanks(split(fact["inputs"]["text"], ALL_PUNCTUATION)) == fact["expected"]
    assert without_blanks(split(verdict, ALL_PUNCTUATION)) == list(words(verdict))
