"""The bonus of chapter 2: byte-pair encoding from scratch, on characters."""

from __future__ import annotations

import pytest

from app.llm.lessons.bpe import SPACE, decode, encode, train

TEXT = "the cat in the hat sat on the mat"


def test_the_most_frequent_pair_is_merged_first():
    learnt = train(TEXT, 261)
    assert learnt.vocabulary[256:258] == (SPACE, "<|endoftext|>")
    assert learnt.merges == (("a", "t"), ("t", "h"), ("th", "e"))  # 4 times, then 3: of equals the first


def test_a_text_comes_back_shorter_and_whole():
    learnt = train(TEXT, 275)
    ids = encode(learnt, TEXT)
    assert len(ids) < len(TEXT) / 2
    assert decode(learnt, ids) == TEXT


def test_it_ends_where_no_pair_is_left():
    learnt = train("ab", 1000)
    assert learnt.merges == (("a", "b"),)
    assert encode(learnt, "ab") == [len(learnt.vocabulary) - 1]


def test_a_character_that_was_never_seen_is_an_error_as_in_the_bonus():
    with pytest.raises(KeyError):
        encode(train(TEXT, 260), "☂")
