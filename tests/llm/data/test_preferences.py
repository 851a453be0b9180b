"""Pairs of answers: the book's example and batches, what of them counts, and entries that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.llm.data.examples import IGNORED, ExampleBatches, cut
from app.llm.data.instructions import Instruction, PromptedIds
from app.llm.data.preferences import (
    Preference,
    PreferenceIds,
    encode_preferences,
    join_preferences,
    read_preferences,
)
from app.llm.errors import BadExample
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import load

PAD = 50256
ENTRY = {"instruction": "x", "input": "", "output": "y", "chosen": "c", "rejected": "r"}


@pytest.fixture(scope="module")
def tokenizer(assets: Path) -> Tokenizer:
    return load("gpt2", assets / "tiktoken")


@pytest.fixture(scope="module")
def pairs(shared_file: Callable[[str], Path], tokenizer: Tokenizer) -> list[PreferenceIds]:
    entries = read_preferences(json.loads(shared_file("instruction-data-with-preference.json").read_text()))
    return encode_preferences(entries, tokenizer)


def test_the_books_example(golden, pairs):
    expected, first = golden("dpo.example")["expected"], pairs[0]
    assert first.chosen.prompt_length == first.rejected.prompt_length == expected["prompt_tokens"]
    assert len(first.chosen.ids) == expected["chosen_tokens"]
    assert len(first.rejected.ids) == expected["rejected_tokens"]
    batch = join_preferences(pairs[:2], PAD)
    padded = {ids.size(1) + 1 for ids in (*batch.chosen, *batch.rejected)}  # the book cuts the last one off later
    assert padded == {expected["padded_length_first_two"]}


def test_batches_have_the_books_lengths(golden, pairs):
    """Their order is that of torch's generator."""
    fact = golden("dpo.loader.lengths")
    train = ExampleBatches(
        cut(pairs, 0.85, 0.1).first, partial(join_preferences, pad_id=PAD, max_length=1024), 8, fact["inputs"]["seed"]
    )
    assert len(train) == fact["expected"]["batches"]
    assert [train[step].chosen[0].size(1) + 1 for step in range(10)] == fact["expected"]["first10"]


def test_what_counts_begins_with_the_mark_of_the_answer(pairs, tokenizer):
    batch = join_preferences(pairs[:2], PAD)
    for inputs, targets in (batch.chosen, batch.rejected):
        for row, wanted in zip(inputs, targets, strict=True):
            counted = wanted[wanted != IGNORED].tolist()
            assert tokenizer.decode(counted).startswith("### Response:\n")
            assert row[row != PAD].tolist()[-len(counted) :] == counted


def test_padding_and_prompt_are_left_out():
    pair = PreferenceIds(PromptedIds([1, 2, 8, 8, 3, 4], 2), PromptedIds([1, 2, 8, 8, 5], 2))
    batch = join_preferences([pair], PAD)
    assert batch.chosen[0].tolist() == [[1, 2, 8, 8, 3, 4]]
    assert batch.chosen[1].tolist() == [[IGNORED] * 3 + [3, 4, IGNORED]]
    assert batch.rejected[0].tolist() == [[1, 2, 8, 8, 5, PAD]]
    assert batch.rejected[1].tolist() == [[IGNORED] * 3 + [5, IGNORED, IGNORED]]
    unmasked = join_preferences([pair], PAD, mask_prompt=False)
    assert unmasked.rejected[1].tolist() == [[2, 8, 8, 5, IGNORED, IGNORED]]
    short = join_preferences([pair], PAD, max_length=5)
    assert short.chosen[1].tolist() == [[IGNORED] * 3 + [3, 4]]


def test_an_entry_is_read():
    assert read_preferences([ENTRY]) == [Preference(Instruction("x", "", "y"), "c", "r")]


@pytest.mark.parametrize("field", ["instruction", "output", "chosen", "rejected"])
def test_a_missing_text_is_refused_by_its_place(field):
    with pytest.raises(BadExample, match=f"example 2: {field} must be text, not NoneType"):
        read_preferences([ENTRY, {name: text for name, text in ENTRY.items() if name != field}])
