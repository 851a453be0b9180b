"""Hugging Face's tokenizer files: the same ids as the library that writes them, and each key that is not read named."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, pre_tokenizers, trainers

from app.llm.errors import BadVocabulary
from app.llm.tokenizer.hf_bpe import read_tokenizer, read_vocab_and_merges, write_tokenizer
from tests.weight_files import VOCABULARY

CORPUS = ["the sea, the sea! she sells 42 shells; they're hers — naïve 🌊", "and the clock struck  thirteen\n"] * 3
TEXTS = (*CORPUS, "", " ", "\t\n  x", "I'll've 1234567890", "👨‍👩‍👧 zażółć", "<|end|> is text")
RULES = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


def trained(rule: str) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = RULES[rule], decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(CORPUS, trainer)
    return made


@pytest.mark.parametrize("rule", RULES)
def test_ids_are_those_of_the_library(rule: str) -> None:
    library = trained(rule)
    vocabulary = read_tokenizer(json.loads(library.to_str()))
    ours = vocabulary.tokenizer()
    assert (vocabulary.pre, ours.vocab_size, ours.special_tokens) == (rule, library.get_vocab_size(), {"<|end|>": 0})
    library.encode_special_tokens = True
    for text in TEXTS:
        assert ours.encode(text) == library.encode(text).ids, text


@pytest.mark.parametrize("rule", RULES)
def test_what_is_written_the_library_reads(rule: str) -> None:
    library = trained(rule)
    vocabulary = read_tokenizer(json.loads(library.to_str()))
    written = tokenizers.Tokenizer.from_str(json.dumps(write_tokenizer(vocabulary)))
    assert written.get_vocab() == library.get_vocab()
    for text in TEXTS:
        assert written.encode(text).ids == library.encode(text).ids, text
        assert written.decode(written.encode(text).ids) == library.decode(library.encode(text).ids)
    assert read_tokenizer(write_tokenizer(vocabulary)) == vocabulary


def test_gpt2s_two_files() -> None:
    written = write_tokenizer(VOCABULARY)["model"]
    merges = "#version: 0.2\n" + "\n".join(" ".join(pair) for pair in written["merges"]) + "\n"
    found = read_vocab_and_merges(written["vocab"], merges)
    assert (found.tokens, found.token_types, found.merges) == (
        list(VOCABULARY.tokens), VOCABULARY.token_types, list(VOCABULARY.merges),
    )  # fmt: skip
    assert found.tokenizer().special_tokens == {"<|end|>": 0}


def changed(*path: Any, to: Any) -> dict[str, Any]:
    values = copy.deepcopy(write_tokenizer(VOCABULARY))
    inner: Any = values
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return values


BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
BEGUN = {  # as a Llama 3's
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<|end|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [0], "tokens": ["<|end|>"]}},
}
PLAIN = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {}}


@pytest.mark.parametrize(
    "written",
    [None, BYTE_LEVEL, PLAIN, {"type": "Sequence", "processors": [BYTE_LEVEL, PLAIN]}],
)
def test_what_is_done_after_the_split_and_changes_no_id(written: dict[str, Any] | None) -> None:
    assert read_tokenizer(changed("post_processor", to=written)) == read_tokenizer(write_tokenizer(VOCABULARY))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "model: an object"),
        (changed("model", "type", to="Unigram"), "model.type: 'Unigram'"),
        (changed("model", "dropout", to=0.1), "model.dropout"),
        (changed("model", "byte_fallback", to=True), "model.byte_fallback"),
        (changed("model", "end_of_word_suffix", to="</w>"), "model.end_of_word_suffix"),
        (changed("model", "vocab", to=[]), "vocab: an object"),
        (changed("model", "vocab", "a", to=1_000_000), "model.vocab: the ids"),
        (changed("model", "vocab", "a", to="1"), "model.vocab: the ids"),
        (changed("model", "vocab", "a", to=5), "model.vocab: the ids"),
        (changed("model", "merges", to="h e"), "model.merges: a list"),
        (changed("model", "merges", 0, to=["h"]), "model.merges: .* is no pair"),
        (changed("model", "merges", 0, to=[1, 2]), "model.merges: .* is no pair"),
        (changed("normalizer", to={"type": "NFC"}), "normalizer"),
        (changed("post_processor", to={"type": "TemplateProcessing", "special_tokens": {"<s>": {}}}), "post_processor"),
        (changed("post_processor", to="x"), "post_processor: an object"),
        (changed("post_processor", to=[1]), "post_processor: an object"),
        (changed("post_processor", to={}), "post_processor: None"),
        (changed("post_processor", to={"type": "RobertaProcessing", "sep": ["</s>", 2]}), "'RobertaProcessing'"),
        (changed("post_processor", to={"type": "BertProcessing", "cls": ["a", 2]}), "'BertProcessing'"),
        (changed("post_processor", to={"type": "Sequence"}), "post_processor.processors: a list"),
        (changed("post_processor", to={"type": "Sequence", "processors": ["ByteLevel"]}), "'ByteLevel'"),
        (changed("post_processor", to={"type": "Sequence", "processors": [BYTE_LEVEL, BEGUN]}), "special tokens"),
        (changed("post_processor", to={"type": "Sequence", "processors": [BYTE_LEVEL, {"type": "Odd"}]}), "'Odd'"),
        (changed("post_processor", to={"type": "TemplateProcessing", "single": BEGUN["single"]}), "special tokens"),
        (changed("pre_tokenizer", to={"type": "Metaspace"}), "pre_tokenizer"),
        (changed("pre_tokenizer", "add_prefix_space", to=True), "pre_tokenizer"),
        (changed("added_tokens", 0, "special", to=False), "added_tokens: '<|end|>'"),
        (changed("added_tokens", 0, to=[3]), "added_tokens: id and content"),
        (changed("added_tokens", 0, "id", to=3), "added_tokens: one has another id"),
        (changed("added_tokens", to={}), None),
    ],
)
def test_a_key_that_is_not_read_is_named(values: dict[str, Any], message: str | None) -> None:
    if message is None:  # an empty list by another name; then nothing makes the special token
        assert read_tokenizer(values).token_types[0] == 1
        return
    with pytest.raises(BadVocabulary, match=message.replace("|", r"\|")):
        read_tokenizer(values)


def test_merges_that_contradict_the_vocabulary_are_refused() -> None:
    with pytest.raises(BadVocabulary, match="makes no token"):
        read_tokenizer(changed("model", "merges", 0, to=["q", "q"])).tokenizer()
    turned = list(reversed(write_tokenizer(VOCABULARY)["model"]["merges"]))
    with pytest.raises(BadVocabulary, match="order of the merges"):
        read_tokenizer(changed("model", "merges", to=turned)).tokenizer()
