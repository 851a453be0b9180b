import pytest

from app.errors import InvalidRequest, TokenOutOfRange, TooLarge, UnknownWord
from app.llm.errors import UntokenizableText
from app.llm.tokenizer.word import WordTokenizer
from app.services import tokens


@pytest.fixture
def v1() -> WordTokenizer:
    return WordTokenizer.build("one two , three", version=1)


class GivesUp(WordTokenizer):
    def encode(self, text: str, *, parse_special: bool = False) -> list[int]:
        raise UntokenizableText("too many spaces")


def test_texts_of_one_call_are_counted_together_and_in_bytes():
    tokens.check_size(["é", "a"], 3)
    with pytest.raises(TooLarge, match="3 bytes are more than the 2"):
        tokens.check_size(["é", "a"], 2)


def test_an_unknown_word_is_named_with_its_text(v1):
    assert tokens.encode(v1, "two one", parse_special=False) == [v1.vocabulary.index("two"), v1.vocabulary.index("one")]
    with pytest.raises(UnknownWord, match="'four'") as caught:
        tokens.encode(v1, "one four", parse_special=False, param="text.3")
    assert (caught.value.param, caught.value.status) == ("text.3", 422)


def test_a_text_that_cannot_be_split_is_refused():
    with pytest.raises(InvalidRequest, match="too many spaces"):
        tokens.encode(GivesUp.build("a", version=2), "a", parse_special=False)


@pytest.mark.parametrize(
    ("lists", "is_batch", "param"),
    [([[0, 4]], False, "ids.1"), ([[0], [1, -1]], True, "ids.1.1"), ([[10**25]], False, "ids.0")],
)
def test_an_id_outside_the_vocabulary_is_told_with_its_place(v1, lists, is_batch, param):
    with pytest.raises(TokenOutOfRange) as caught:
        tokens.decode(v1, lists, 100, is_batch=is_batch)
    assert caught.value.param == param


def test_a_number_of_a_thousand_digits_is_not_repeated(v1):
    with pytest.raises(TokenOutOfRange) as caught:
        tokens.decode(v1, [[10**1000]], 100, is_batch=False)
    assert len(caught.value.message) < 200


def test_ids_that_make_too_long_a_text_are_refused(v1):
    three = v1.vocabulary.index("three")
    assert tokens.decode(v1, [[three], [three, 0]], 11, is_batch=True) == ["three", "three,"]
    with pytest.raises(TooLarge):
        tokens.decode(v1, [[three], [three, 0]], 10, is_batch=True)
