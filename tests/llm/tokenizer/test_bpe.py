import time
from pathlib import Path

import pytest
import tiktoken
from hypothesis import given, settings
from hypothesis import strategies as st

from app.llm.errors import TokenIdOutOfRange, UntokenizableText
from app.llm.tokenizer import tiktoken_data
from app.llm.tokenizer.bpe import GPT2_PATTERN, BytePairTokenizer
from tests.golden_facts import FACTS

WITH_IDS = [name for name, fact in FACTS.items() if ".bpe.case" in name or ".bpe.sample" in name]
BYTES = {bytes([byte]): byte for byte in range(256)}
TEXTS = st.text(
    st.sampled_from("ab  \n.,'!1é中👍\u0301\u200d🏽ሴ") | st.characters(exclude_categories=["Cs"]), max_size=40
)


@pytest.fixture(scope="module")
def gpt2(assets: Path) -> BytePairTokenizer:
    return tiktoken_data.load("gpt2", assets / "tiktoken")


def small(
    merges: tuple[bytes, ...] = (b"ab", "👍".encode()[:3], b"\n\n"),
    pattern: str = GPT2_PATTERN,
    specials: dict[str, int] | None = None,
    name: str = "small",
) -> tiktoken.Encoding:
    """The 256 bytes, a few merges, an unused id, and one special token."""
    ranks = BYTES | {token: 256 + n for n, token in enumerate(merges)}
    chosen = {"<|end|>": 257 + len(merges)} if specials is None else specials
    return tiktoken.Encoding(name, pat_str=pattern, mergeable_ranks=ranks, special_tokens=chosen)


def assert_spans_are_right(text: str, tokenizer: BytePairTokenizer) -> None:
    tokens = tokenizer.tokenize(text)
    assert b"".join(token.bytes for token in tokens) == text.encode()
    owners = [index for index, character in enumerate(text) for _ in character.encode()]
    for token in tokens:
        mine, owners = owners[: len(token.bytes)], owners[len(token.bytes) :]
        assert (token.start, token.end) == (mine[0], mine[-1] + 1)
        assert token.start < token.end


@pytest.mark.parametrize("fact", WITH_IDS)
def test_ids_of_the_books_texts(gpt2, fact):
    inputs = FACTS[fact]["inputs"]
    assert gpt2.encode(inputs["text"], parse_special="allowed_special" in inputs) == FACTS[fact]["expected"]


def test_of_joined_and_of_apart():
    assert 1659 in FACTS["ch02.bpe.sample.concat"]["expected"]
    assert 286 in FACTS["ch02.bpe.sample.spaced"]["expected"]
    assert len(WITH_IDS) == 18


@pytest.mark.parametrize("fact", ["ch02.bpe.vocab"])
def test_sizes_of_gpt2(gpt2, fact):
    expected = FACTS[fact]["expected"]
    assert (gpt2.vocab_size, gpt2.eos_id) == (expected["n_vocab"], expected["eot_token"])
    assert gpt2.special_tokens == {"<|endoftext|>": expected["eot_token"]}
    assert gpt2.encode("\n") + gpt2.encode(" ") == [expected["newline_id"], expected["space_id"]]


@pytest.mark.parametrize("fact", ["ch02.bpe.pieces"])
def test_texts_of_single_tokens(gpt2, fact):
    ids = FACTS[fact]["inputs"]["ids"]
    assert [gpt2.token_bytes(token_id).decode() for token_id in ids] == FACTS[fact]["expected"]
    assert [token.text for token in gpt2.tokenize("Akwirw ier")] == FACTS[fact]["expected"]


@pytest.mark.parametrize("fact", ["ch02.bpe.verdict"])
def test_the_verdict(gpt2, verdict, fact):
    ids, expected = gpt2.encode(verdict), FACTS[fact]["expected"]
    assert len(ids) == expected["count"] == 5145
    assert (ids[:16], ids[50:55], ids[-5:]) == (expected["first16"], expected["ids_50_54"], expected["last5"])
    assert gpt2.decode(ids) == verdict


@pytest.mark.parametrize("fact", ["ch02.bpe.extend"])
def test_special_tokens_may_be_added(gpt2, fact):
    base, expected = gpt2._encoding, FACTS[fact]["expected"]
    added = dict(zip(FACTS[fact]["inputs"]["new_tokens"], expected["new_ids"], strict=True))
    encoding = tiktoken.Encoding(
        "gpt2-more",
        pat_str=base._pat_str,
        mergeable_ranks=base._mergeable_ranks,
        special_tokens=gpt2.special_tokens | added,
    )
    longer = BytePairTokenizer(encoding, eos_id=50256)
    assert longer.encode(FACTS[fact]["inputs"]["text"], parse_special=True) == expected["ids"]


def test_special_tokens_are_plain_text_unless_asked(gpt2):
    text = "a<|endoftext|>b"
    assert 50256 not in gpt2.encode(text)
    assert gpt2.decode(gpt2.encode(text)) == text
    marked = gpt2.tokenize(text, parse_special=True)
    assert [(token.id, token.start, token.end, token.special) for token in marked] == [
        (64, 0, 1, False),
        (50256, 1, 14, True),
        (65, 14, 15, False),
    ]


@given(TEXTS)
def test_spans_of_gpt2(gpt2, text):
    assert_spans_are_right(text, gpt2)


@given(TEXTS, st.booleans())
def test_spans_of_a_tokenizer_that_cuts_characters(text, parse_special):
    tokenizer = BytePairTokenizer(small(), eos_id=None)
    assert_spans_are_right(text, tokenizer)
    assert [token.id for token in tokenizer.tokenize(text, parse_special=parse_special)] == tokenizer.encode(
        text, parse_special=parse_special
    )


@pytest.mark.parametrize("text", ["👩🏽‍🚀", "é̂", "漢字かな交じり", "🇩🇪", "ﷺ", "a\u0000b", "\U0010ffff"])
def test_spans_of_texts_that_are_hard(gpt2, text):
    assert_spans_are_right(text, gpt2)
    assert gpt2.decode(gpt2.encode(text)) == text


@given(st.lists(st.integers(0, 260)))
def test_the_stream_says_what_decode_says(ids):
    tokenizer = BytePairTokenizer(small(), eos_id=None)
    stream = tokenizer.stream()
    assert "".join([stream.push(token_id) for token_id in ids]) + stream.flush() == tokenizer.decode(ids)


def test_an_id_that_the_encoding_leaves_unused_has_no_bytes():
    """cl100k_base has such holes; a model may sample one, and its stream must not break."""
    tokenizer = BytePairTokenizer(small(), eos_id=None)
    assert (tokenizer.vocab_size, tokenizer.token_bytes(259), tokenizer.decode([97, 259, 98])) == (261, b"", "ab")


@pytest.mark.parametrize("token_id", [-1, 261, 2**31, 2**64, -(2**70)])
def test_an_id_outside_the_vocabulary_is_refused(token_id):
    tokenizer = BytePairTokenizer(small(), eos_id=None)
    for refused in (tokenizer.token_bytes, tokenizer.stream().push, lambda bad: tokenizer.decode([0, bad])):
        with pytest.raises(TokenIdOutOfRange, match=str(token_id)):
            refused(token_id)


@pytest.mark.parametrize("parse_special", [True, False])
def test_a_lone_surrogate_is_no_text(parse_special):
    with pytest.raises(UnicodeEncodeError):
        BytePairTokenizer(small(), eos_id=None).encode("a\ud800", parse_special=parse_special)


@pytest.mark.parametrize("end", ["", "x", " x", "1", "<|end|>"])
def test_a_million_spaces_are_split_all_the_same(end):
    """tiktoken's regex engine panics at this length, where something follows the spaces."""
    tokenizer = BytePairTokenizer(small((b"  ",)), eos_id=None)
    text = "a" + " " * 1_048_000 + end
    short = "a" + " " * 1_000 + end
    ids, few = (tokenizer.encode(each, parse_special=True) for each in (text, short))
    assert tokenizer.decode(ids) == text
    assert (ids[:1], ids[-2:]) == (few[:1], few[-2:])


@given(TEXTS, st.booleans())
@settings(deadline=None)
def test_splitting_by_ourselves_gives_what_tiktoken_gives(text, parse_special):
    tokenizer = BytePairTokenizer(small(specials={"<|end|>": 259, "b ": 260}), eos_id=None)
    by_pieces = list(tokenizer._encode_by_pieces(text, parse_special))
    assert by_pieces == tokenizer.encode(text, parse_special=parse_special)


def test_a_panic_of_tiktoken_is_a_refusal():
    """The panic derives from BaseException, so that only a look at its name tells it from an interrupt."""
    hostile = BytePairTokenizer(small(pattern=r"(?:(?=a)a)+(?!b)|[\s\S]"), eos_id=None)
    with pytest.raises(UntokenizableText, match="small cannot split"):
        hostile.encode("a" * 1_000_100)


def test_a_long_word_takes_no_quadratic_time(gpt2):
    start = time.perf_counter()
    assert len(gpt2.encode("a" * 2**20)) == 262_144
    assert time.perf_counter() - start < 20
