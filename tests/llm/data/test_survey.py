"""A look at many pieces: which come again, how long they are, which special tokens stand in them."""

from __future__ import annotations

from app.llm.data.survey import Bucket, Lengths, Special, Specials, Twin, Twins, fingerprint
from app.llm.tokenizer.word import WordTokenizer

WORDS = WordTokenizer.build("a b c", version=2)


def test_white_space_and_the_order_of_columns_make_no_difference() -> None:
    assert fingerprint({"a": " x  y\n", "b": [1, " z"]}) == fingerprint({"b": [1, "z"], "a": "x y"})
    assert fingerprint("a  b") == fingerprint("a\nb")
    assert len({fingerprint(one) for one in ("a", "b", {"a": "b"}, {"a": "c"}, {"a": None}, ["a"], 1, "1")}) == 8


def test_twins() -> None:
    twins = Twins()
    for line, mark in ((1, 7), (2, 8), (3, 7), (5, 7)):
        twins.add(line, mark)
    assert (twins.count, twins.examples) == (2, [Twin(3, 1), Twin(5, 1)])
    met, count = twins.met_in(iter([(1, 9), (2, 8), (3, 8)]))
    assert count == 3
    assert (met.count, met.examples) == (2, [Twin(2, 2), Twin(3, 2)])


def test_lengths_against_a_context() -> None:
    lengths = Lengths(WORDS, 4)
    for line, count in enumerate((0, 1, 4, 5, 20), start=1):
        lengths.add(line, "a " * count)
    assert (lengths.total, lengths.median, lengths.longest, lengths.longest_line) == (30, 4, 20, 5)
    assert (lengths.too_long, lengths.cut_tokens) == (2, 17)
    assert lengths.buckets() == [
        Bucket(0, 1, 2),
        Bucket(1, 2, 0),
        Bucket(2, 4, 1),
        Bucket(4, 8, 1),
        Bucket(8, 16, 0),
        Bucket(16, None, 1),
    ]


def test_no_piece_has_no_length() -> None:
    lengths = Lengths(WORDS, 1)
    assert (lengths.total, lengths.median, lengths.longest, lengths.longest_line) == (0, 0, 0, None)
    assert sum(bucket.count for bucket in lengths.buckets()) == 0


def test_special_tokens_in_a_text() -> None:
    specials = Specials(WORDS.special_tokens)
    specials.add(1, "nothing <here>")
    specials.add(4, "a<|endoftext|>b<|endoftext|> <|im_end|>")
    specials.add(6, "<|endoftext|>")
    assert specials.found() == [Special("<|endoftext|>", 3, 4, True), Special("<|im_end|>", 1, 4, False)]
