"""What a report says of a tokenizer is what its tokens say."""

from __future__ import annotations

from app.llm.tokenizer.measure import EXAMPLE_CHARACTERS, EXAMPLES, measure
from app.llm.tokenizer.trained import learn
from app.llm.tokenizer.word import WordTokenizer

TEXT = "the tide, the clock\n\n the sea \nthe moon\nand the sea"


def test_byte_pairs_know_everything_and_lose_nothing():
    made = learn([TEXT * 3], 270).tokenizer
    found = measure(made, TEXT)
    assert found.tokens == len(made.encode(TEXT))
    assert (found.unknown, found.words, found.lines, found.failed_lines) == (0, None, 4, 0)


def test_words_that_are_unknown_are_counted_and_named():
    found = measure(WordTokenizer.build("the tide , clock and", 2), TEXT)
    assert (found.tokens, found.words, found.unknown) == (12, 12, 3)
    assert found.unknown_examples == ("sea", "moon")
    assert [failure.line for failure in found.failures] == [3, 4, 5]
    assert found.failures[1].decoded == "the <|unk|>"


def test_version_1_gives_up_at_a_word_and_says_which():
    found = measure(WordTokenizer.build("the tide , clock and sea", 1), TEXT)
    assert (found.tokens, found.unknown, found.unknown_examples) == (None, 1, ("moon",))
    assert [(failure.line, failure.unknown_word) for failure in found.failures] == [(3, None), (4, "moon")]
    assert found.failures[0].decoded == "the sea"  # the spaces around it are lost


def test_a_special_tokens_name_in_the_text_is_unknown_to_the_book_and_text_to_bytes():
    text = "the <|endoftext|>"
    assert measure(WordTokenizer.build("the", 2), text).unknown_examples == ("<|endoftext|>",)
    assert measure(learn(["the the"], 258).tokenizer, text).failed_lines == 0


def test_examples_are_few_and_short():
    text = "\n".join(f"{n}" + "x" * 1000 for n in range(20))
    found = measure(WordTokenizer.build("the", 2), text)
    assert (found.unknown, found.failed_lines) == (20, 20)
    assert len(found.unknown_examples) == len(found.failures) == EXAMPLES
    assert {len(word) for word in found.unknown_examples} == {EXAMPLE_CHARACTERS}
