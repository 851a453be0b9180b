"""Merges one by one come to the tokens that `encode` gives at once, for every byte-pair tokenizer there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.llm.tokenizer import gguf_bpe, tiktoken_data
from app.llm.tokenizer.bpe import BytePairTokenizer
from app.llm.tokenizer.merging import merged_words, parts_of
from app.llm.tokenizer.trained import learn
from app.llm.weights.gguf import read_metadata

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ["unbelievably", " the lighthouse keeper's", "naïve 👩‍🚀 日本語", "   \n\t x", "aaaaaaaaaaaa", "banana", "1984"]
)


@pytest.fixture(scope="module", params=["gpt2", "p50k_base", "smollm2", "trained"])
def tokenizer(request: pytest.FixtureRequest, assets: Path) -> BytePairTokenizer:
    if request.param == "smollm2":
        data = read_metadata(assets / "SmolLM2-135M-Instruct.Q4_1.gguf")
        return gguf_bpe.from_vocabulary(data.tokens, data.token_types, data.merges, data.pre, data.eos_id)
    if request.param == "trained":
        return learn(["the tide and the clock of the tide, a banana, bananas. " * 3], 275).tokenizer
    return tiktoken_data.load(request.param, assets / "tiktoken")


@given(TEXTS)
@settings(deadline=None, max_examples=80)
def test_steps_lead_to_the_ids_of_encode(tokenizer, text):
    words = list(merged_words(tokenizer, text))
    assert [token_id for word in words for token_id in word.ids] == tokenizer.encode(text)
    for word in words:
        pieces = [word.bytes[at : at + 1] for at in range(len(word.bytes))]
        for step in word.steps:
            pieces[step.at : step.at + 2] = [pieces[step.at] + pieces[step.at + 1]]
            assert tuple(pieces) == step.pieces
            assert tokenizer.token_bytes(step.id) == pieces[step.at]
        assert word.is_whole or [tokenizer.token_bytes(token_id) for token_id in word.ids] == pieces


def test_gpt2_merges_the_word_of_its_first_merges(assets):
    """The file of GPT-2 begins with `Ġ t`, `Ġ a`, `h e`: ranks 0, 1 and 2."""
    gpt2 = tiktoken_data.load("gpt2", assets / "tiktoken")
    (word,) = merged_words(gpt2, " the")
    assert [(step.rank, step.id, step.pieces) for step in word.steps] == [
        (0, 256, (b" t", b"h", b"e")),
        (2, 258, (b" t", b"he")),
        (6, 262, (b" the",)),
    ]


def test_each_token_has_the_two_parts_of_its_merge(tokenizer):
    for token_id in range(0, tokenizer.vocab_size, max(1, tokenizer.vocab_size // 500)):
        parts = parts_of(tokenizer, token_id)
        if parts is not None:
            assert tokenizer.token_bytes(token_id) == b"".join(map(tokenizer.token_bytes, parts))
            assert max(parts) < token_id


def test_the_parts_of_a_trained_token_are_the_merge_that_was_learnt():
    made = learn(["the tide and the clock of the tide, a banana, bananas. " * 3], 275).tokenizer
    assert [parts_of(made, 256 + n) for n in range(len(made.merges))] == list(made.merges)
    assert parts_of(made, 0) is None
    assert parts_of(made, made.vocab_size - 1) is None
