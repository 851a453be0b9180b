import random
from pathlib import Path
from typing import NamedTuple

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers

from app.llm.errors import BadVocabulary
from app.llm.tokenizer.bpe import BytePairTokenizer
from app.llm.tokenizer.byte_alphabet import BYTE_OF
from app.llm.tokenizer.gguf_bpe import from_vocabulary
from app.llm.weights.gguf import read_metadata

# Where splitting rules differ: digits of all scripts, spaces of all kinds, signs, contractions, joined emoji, and
# characters with bytes for which SmolLM2 has no token (some controls, U+40000 to U+BFFFF).
HARD = (
    "\x00\x04\x06\x13\x1c\x1d\x85\xa0\u180e\u200b\u2003\u2028\u3000\ufeff'’½²Ⅷ٣〇一e\u0301"
    "ªºǅʰ🙂👨‍👩‍👧🏽\U00040000\U00080001\U0010ffff"
)


class Vocabulary(NamedTuple):
    tokens: list[str]
    token_types: list[int]
    merges: list[str]


def small(without: str = "", merges: tuple[str, ...] = ("a b", "! !", "Ġ a")) -> Vocabulary:
    characters = [character for character in BYTE_OF if character not in without]
    tokens = ["<|end|>", *characters, *(merge.replace(" ", "") for merge in merges)]
    return Vocabulary(tokens, [3] + [1] * (len(tokens) - 1), list(merges))


def trained_library(vocabulary: Vocabulary) -> tokenizers.Tokenizer:
    """The library that such vocabularies come from, with the digit rule that transformers' reader of GGUF loses."""
    ids = {token: token_id for token_id, token in enumerate(vocabulary.tokens)}
    made = tokenizers.Tokenizer(models.BPE(ids, [tuple(merge.split(" ")) for merge in vocabulary.merges]))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return made


@pytest.fixture(scope="module")
def vocabulary(assets: Path) -> Vocabulary:
    read = read_metadata(assets / "SmolLM2-135M-Instruct.Q4_1.gguf")
    assert (read.pre, read.eos_id) == ("smollm", 2)
    return Vocabulary(read.tokens, read.token_types, read.merges)


@pytest.fixture(scope="module")
def smollm2(vocabulary: Vocabulary) -> BytePairTokenizer:
    return from_vocabulary(*vocabulary, pre="smollm", eos_id=2)


def random_texts(words: list[str], count: int) -> list[str]:
    chance = random.Random(2024)

    def characters(alphabet: str) -> str:
        return "".join(chance.choices(alphabet, k=chance.randrange(30)))

    def anything() -> str:
        return "".join(
            chr(chance.choice((chance.randrange(0xD800), chance.randrange(0xE000, 0x110000)))) for _ in "12345"
        )

    kinds = (
        lambda: "".join(chance.choices(words, k=chance.randrange(30))),
        lambda: "".join(word + chance.choice(HARD) for word in chance.choices(words, k=chance.randrange(20))),
        lambda: characters(HARD + " \n\t!!.a1'sS"),
        lambda: characters("abc 12\n'tls  "),
        lambda: characters("!\x04.\x06 -\x13\U00040000a'"),
        anything,
    )
    return [chance.choice(kinds)() for _ in range(count)]


def test_smollm2_tokenizes_as_the_library_it_was_trained_with(vocabulary, smollm2):
    words = [smollm2.token_bytes(token_id).decode("utf-8", "ignore") for token_id in range(17, 49_152)]
    library = trained_library(vocabulary)
    texts = random_texts(words, 8_000)
    assert [text for text in texts if smollm2.encode(text) != library.encode(text).ids] == []


def test_smollm2_is_what_its_file_says(smollm2):
    assert (smollm2.vocab_size, smollm2.eos_id, len(smollm2.special_tokens)) == (49_152, 2, 17)
    assert smollm2.special_tokens["<|im_start|>"] == 1
    text = "<|im_start|>user\nIt's 1984.<|im_end|>"
    assert smollm2.decode(smollm2.encode(text)) == smollm2.decode(smollm2.encode(text, parse_special=True)) == text
    assert smollm2.encode(text, parse_special=True)[0] == 1
    assert 1 not in smollm2.encode(text)


def test_digits_stand_alone_and_white_space_before_them_stays_whole(smollm2):
    assert [token.text for token in smollm2.tokenize("in 1984   7")] == ["in", " ", "1", "9", "8", "4", "   ", "7"]


@given(st.text(st.sampled_from("ab!\x04 \U000400001é'") | st.characters(exclude_categories=["Cs"]), max_size=25))
@settings(deadline=None)
def test_bytes_without_a_token_are_dropped_and_the_others_keep_their_characters(text):
    without = [byte for byte in BYTE_OF.values() if byte in (0x04, 0xF1, ord("b"))]
    vocabulary = small("".join(character for character, byte in BYTE_OF.items() if byte in without), ("! !", "Ġ a"))
    tokenizer = from_vocabulary(*vocabulary, pre="smollm", eos_id=None)
    tokens = tokenizer.tokenize(text)
    owners = [index for index, char in enumerate(text) for byte in char.encode() if byte not in without]
    assert b"".join(token.bytes for token in tokens) == text.encode().translate(None, bytes(without))
    for token in tokens:
        mine, owners = owners[: len(token.bytes)], owners[len(token.bytes) :]
        assert (token.start, token.end) == (mine[0], mine[-1] + 1)
    assert [token.id for token in tokens] == trained_library(vocabulary).encode(text).ids
    assert all(token.id < tokenizer.vocab_size for token in tokens)


def test_neighbours_of_a_dropped_byte_meet_and_merge():
    vocabulary = small(without="Ąď")
    tokenizer = from_vocabulary(*vocabulary, pre="smollm", eos_id=None)
    assert [(token.text, token.start, token.end) for token in tokenizer.tokenize("!\x04!?")] == [
        ("!!", 0, 3),
        ("?", 3, 4),
    ]
    assert tokenizer.encode("!\x04!<|end|>\x04", parse_special=True)[-1] == 0


def test_without_the_digit_rule_it_splits_as_gpt2():
    vocabulary = small(merges=("1 2",))
    assert len(from_vocabulary(*vocabulary, pre="gpt-2", eos_id=0).encode("12")) == 1
    assert len(from_vocabulary(*vocabulary, pre="smollm", eos_id=0).encode("12")) == 2


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda v: v._replace(token_types=v.token_types[:-1]), "token types"),
        (lambda v: v._replace(token_types=[*v.token_types[:-1], 6]), "type 6"),
        (lambda v: v._replace(tokens=[*v.tokens[:-1], "ab"]), "twice"),
        (lambda v: v._replace(tokens=[*v.tokens[:-1], "a b"]), "alphabet"),
        (lambda v: v._replace(merges=["a b", "Ġ a", "! !"]), "order of the merges"),
        (lambda v: v._replace(merges=["a b", "! !"]), "no merge"),
        (lambda v: v._replace(merges=[*v.merges, "x y"]), "no token"),
    ],
)
def test_a_vocabulary_that_contradicts_itself_is_refused(broken, message):
    with pytest.raises(BadVocabulary, match=message):
        from_vocabulary(*broken(small()), pre="smollm", eos_id=0)


def test_an_unknown_rule_of_splitting_is_refused():
    with pytest.raises(BadVocabulary, match="'made-up' is not known"):
        from_vocabulary(*small(), pre="made-up", eos_id=0)


@pytest.mark.parametrize("eos_id", [-1, 10**6])
def test_an_end_of_text_outside_the_vocabulary_is_refused(eos_id):
    with pytest.raises(BadVocabulary, match="end-of-text"):
        from_vocabulary(*small(), pre="smollm", eos_id=eos_id)
