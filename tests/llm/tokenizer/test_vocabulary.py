"""Vocabularies as lists: kept, made into tokenizers, and told from them again."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.llm.errors import BadVocabulary
from app.llm.tokenizer import tiktoken_data
from app.llm.tokenizer.vocabulary import Vocabulary, vocabulary_of
from app.llm.tokenizer.word import WordTokenizer
from app.llm.weights.gguf import read_metadata
from tests.weight_files import VOCABULARY


def test_lists_are_kept_as_they_are() -> None:
    kept = Vocabulary.from_json(VOCABULARY.to_json())
    assert kept.tokenizer().encode("hello sea") == VOCABULARY.tokenizer().encode("hello sea")
    assert (list(kept.tokens), kept.eos_id) == (list(VOCABULARY.tokens), 0)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": "other"}', '{"format": "byte-pair vocabulary"}'])
def test_what_is_something_else_is_refused(text: str) -> None:
    with pytest.raises(BadVocabulary, match="no byte-pair vocabulary"):
        Vocabulary.from_json(text)


def test_a_tokenizer_tells_the_lists_it_was_made_of() -> None:
    told = vocabulary_of(VOCABULARY.tokenizer())
    assert told is not None
    assert (told.tokens, told.merges, told.pre) == (list(VOCABULARY.tokens), list(VOCABULARY.merges), "gpt-2")
    assert told.token_types == VOCABULARY.token_types


def test_smollm2s_lists_are_told_as_its_file_has_them(assets: Path) -> None:
    read = read_metadata(assets / "SmolLM2-135M-Instruct.Q4_1.gguf")
    made = Vocabulary(read.tokens, read.token_types, read.merges, read.pre, read.eos_id)
    assert vocabulary_of(made.tokenizer()) == made


def test_gpt2s_merges_are_those_of_its_file(assets: Path) -> None:
    told = vocabulary_of(tiktoken_data.load("gpt2", assets / "tiktoken"))
    assert told is not None
    published = (assets / "tiktoken" / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee").read_text("utf-8").splitlines()[1:]
    assert told.merges == [line for line in published if line]
    assert (told.tokens[50256], told.token_types[50256], len(told.tokens)) == ("<|endoftext|>", 3, 50257)


def test_words_have_no_such_lists() -> None:
    assert vocabulary_of(WordTokenizer.build(["a b c"], 2)) is None
