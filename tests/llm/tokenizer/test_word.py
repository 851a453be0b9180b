import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.llm.errors import BadVocabulary, TokenIdOutOfRange, UnknownToken
from app.llm.tokenizer.word import WordTokenizer, words
from tests.golden_facts import FACTS

TEXTS = st.text(st.sampled_from("ab-,.:;?_!\"()' \n\t\x1c é中👍") | st.characters(exclude_categories=["Cs"]))


def the_books_split(text: str) -> list[str]:
    return [item.strip() for item in re.split(r'([,.:;?_!"()\']|--|\s)', text) if item.strip()]


def the_books_join(items: list[str]) -> str:
    return re.sub(r'\s+([,.?!"()\'])', r"\1", " ".join(items))


@pytest.fixture(scope="module")
def v1(verdict: str) -> WordTokenizer:
    return WordTokenizer.build(verdict, version=1)


@pytest.fixture(scope="module")
def v2(verdict: str) -> WordTokenizer:
    return WordTokenizer.build(verdict, version=2)


@pytest.mark.parametrize("fact", ["ch02.verdict.file"])
def test_the_verdict_is_the_books(verdict, fact):
    expected = FACTS[fact]["expected"]
    assert (len(verdict), len(verdict.encode())) == (expected["characters"], expected["bytes"])
    assert verdict.count("\n") == expected["newlines"]


@pytest.mark.parametrize("fact", ["ch02.verdict.first99"])
def test_the_first_characters_lead_to_the_first_words(verdict, fact):
    assert verdict[:99] == FACTS[fact]["expected"]
    assert list(words(verdict[:99])) == FACTS["ch02.tokens.first30"]["expected"][:21]


@pytest.mark.parametrize("fact", ["ch02.regex.full"])
def test_words_of_the_books_sentence(fact):
    assert list(words(FACTS[fact]["inputs"]["text"])) == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.tokens.count"])
def test_number_of_words(verdict, v1, fact):
    assert len(v1.encode(verdict)) == FACTS[fact]["expected"] == 4690


@pytest.mark.parametrize("fact", ["ch02.tokens.first30"])
def test_first_words(verdict, v1, fact):
    assert [token.text for token in v1.tokenize(verdict)[:30]] == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.vocab.size"])
def test_vocabulary_of_version_1(v1, fact):
    assert v1.vocab_size == FACTS[fact]["expected"] == 1130
    assert v1.vocabulary == sorted(v1.vocabulary)
    assert (v1.special_tokens, v1.eos_id) == ({}, None)


@pytest.mark.parametrize("fact", ["ch02.vocab.v2"])
def test_vocabulary_of_version_2(v2, fact):
    expected = FACTS[fact]["expected"]
    assert v2.vocab_size == expected["size"] == 1132
    assert {word: v2.vocabulary.index(word) for word in expected["last5"]} == expected["last5"]
    assert v2.eos_id == v2.special_tokens["<|endoftext|>"] == 1130


@pytest.mark.parametrize("fact", ["ch02.v1.encode"])
def test_version_1_encodes(v1, fact):
    assert v1.encode(FACTS[fact]["inputs"]["text"]) == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.v1.decode"])
def test_version_1_decodes(v1, fact):
    assert v1.decode(FACTS["ch02.v1.encode"]["expected"]) == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.v1.unknown"])
def test_version_1_raises_on_an_unknown_word(v1, fact):
    with pytest.raises(UnknownToken) as caught:
        v1.encode(FACTS[fact]["inputs"]["text"])
    assert caught.value.word == FACTS[fact]["expected"]["key"] == "Hello"


@pytest.mark.parametrize("fact", ["ch02.v2.encode"])
def test_version_2_encodes(v2, fact):
    assert v2.encode(FACTS[fact]["inputs"]["text"], parse_special=True) == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.v2.decode"])
def test_version_2_decodes(v2, fact):
    assert v2.decode(FACTS["ch02.v2.encode"]["expected"]) == FACTS[fact]["expected"]


def test_version_2_takes_special_tokens_for_unknown_words_unless_asked(v2):
    unknown, end = v2.special_tokens["<|unk|>"], v2.special_tokens["<|endoftext|>"]
    assert v2.encode("tea <|endoftext|>")[1] == unknown
    assert v2.encode("tea <|endoftext|>", parse_special=True)[1] == end


def test_special_tokens_in_the_text_it_is_built_from_are_not_counted_twice():
    """Corpora hold a line `<|endoftext|>` between documents; a second entry would leave an id without a word."""
    built = WordTokenizer.build("b <|endoftext|> a", version=2)
    assert built.vocabulary == ["a", "b", "<|endoftext|>", "<|unk|>"]


def test_built_from_parts_it_is_the_same():
    assert WordTokenizer.build(iter(["b a ", "c\n", "b"])).vocabulary == WordTokenizer.build("b a c b").vocabulary


@given(TEXTS)
def test_words_are_those_of_the_books_split(text):
    assert list(words(text)) == the_books_split(text)


@given(TEXTS)
def test_tokens_have_the_bytes_of_their_span_and_only_white_space_lies_between(text):
    tokenizer = WordTokenizer.build("a b , é", version=2)
    position = 0
    for token in tokenizer.tokenize(text):
        assert token.start < token.end
        assert token.bytes == text[token.start : token.end].encode()
        assert not text[position : token.start].strip()
        position = token.end
    assert not text[position:].strip()
    assert [token.id for token in tokenizer.tokenize(text)] == tokenizer.encode(text)


@given(st.lists(st.integers(0, 8)))
def test_decode_joins_as_the_book_and_the_stream_says_the_same(ids):
    tokenizer = WordTokenizer.build("one , . -- ' : two", version=2)
    stream = tokenizer.stream()
    streamed = "".join([stream.push(token_id) for token_id in ids]) + stream.flush()
    assert streamed == tokenizer.decode(ids) == the_books_join([tokenizer.vocabulary[token_id] for token_id in ids])


def test_written_and_read_it_is_the_same(v2):
    again = WordTokenizer.from_json(v2.to_json())
    assert (again.vocabulary, again.version) == (v2.vocabulary, 2)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{}",
        '{"kind": "bpe", "version": 1, "vocabulary": ["a"]}',
        '{"kind": "word", "version": 3, "vocabulary": ["a"]}',
        '{"kind": "word", "version": [], "vocabulary": ["a"]}',
        '{"kind": "word", "version": 1, "vocabulary": ["a", 1]}',
        '{"kind": "word", "version": 1, "vocabulary": ["a", "a"]}',
        '{"kind": "word", "version": 1, "vocabulary": []}',
        '{"kind": "word", "version": 2, "vocabulary": ["a", "b"]}',
    ],
)
def test_a_broken_file_is_refused(written):
    with pytest.raises(BadVocabulary):
        WordTokenizer.from_json(written)


def test_a_text_without_words_makes_no_vocabulary():
    with pytest.raises(BadVocabulary):
        WordTokenizer.build(" \n\t", version=2)


@pytest.mark.parametrize("token_id", [-1, 5, 10**30])
def test_an_id_outside_the_vocabulary_is_refused(token_id):
    tokenizer = WordTokenizer.build("a b c", version=2)
    for refused in (tokenizer.token_bytes, tokenizer.stream().push, lambda bad: tokenizer.decode([0, bad])):
        with pytest.raises(TokenIdOutOfRange, match=str(token_id)):
            refused(token_id)


def test_a_lone_surrogate_is_no_text():
    with pytest.raises(UnicodeEncodeError):
        WordTokenizer.build("a", version=2).encode("a \ud800")
