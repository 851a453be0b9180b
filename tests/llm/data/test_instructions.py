"""The instructions of chapter 7: prompts, targets, batches; and entries that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.llm.data.examples import IGNORED, ExampleBatches, Parts, cut
from app.llm.data.instructions import (
    PROMPT_STYLES,
    Instruction,
    PromptedIds,
    encode_instructions,
    join_instructions,
    read_instructions,
)
from app.llm.errors import BadExample
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import load

END = 50256


@pytest.fixture(scope="module")
def tokenizer(assets: Path) -> Tokenizer:
    return load("gpt2", assets / "tiktoken")


@pytest.fixture(scope="module")
def entries(shared_file: Callable[[str], Path]) -> list[Instruction]:
    return read_instructions(json.loads(shared_file("instruction-data.json").read_text()))


@pytest.fixture(scope="module")
def parts(entries: list[Instruction]) -> Parts[Instruction]:
    """Train, test, validation, in the book's order."""
    return cut(entries, 0.85, 0.1)


@pytest.fixture(scope="module")
def encoded(parts: Parts[Instruction], tokenizer: Tokenizer) -> Parts[PromptedIds]:
    return Parts(*(encode_instructions(part, tokenizer) for part in parts))


def test_the_books_entries(golden, entries):
    expected = golden("ch07.data")["expected"]
    assert len(entries) == expected["entries"]
    assert list(Instruction.__dataclass_fields__) == expected["keys"]
    assert sum(bool(entry.input) for entry in entries) == expected["with_input"]
    assert entries[50] == Instruction(**expected["entry50"])
    assert entries[999] == Instruction(**expected["entry999"])


@pytest.mark.parametrize(("fact", "number"), [("ch07.prompt.alpaca", 50), ("ch07.prompt.noinput", 999)])
def test_alpacas_prompt(golden, entries, fact, number):
    entry = entries[golden(fact)["inputs"]["entry"]]
    assert entry is entries[number]
    assert PROMPT_STYLES["alpaca"].answered(entry, entry.output) == golden(fact)["expected"]


def test_phi3s_prompt(golden, entries):
    style, expected = PROMPT_STYLES["phi3"], golden("ch07.prompt.phi3")["expected"]
    assert style.prompt(entries[50]) == expected
    assert style.prompt(entries[999]) == "<|user|>\nWhat is an antonym of 'complicated'?"
    assert style.answered(entries[50], "So.") == expected + "\n<|assistant|>:\nSo."


def test_split_as_the_book_does_it(golden, parts):
    expected = golden("ch07.split")["expected"]
    train, test, validation = parts
    assert {"train": len(train), "test": len(test), "val": len(validation)} == {
        name: expected[name] for name in ("train", "test", "val")
    }
    assert f"{test[0].instruction} | {test[0].input}" == expected["first_test"]
    assert validation[0].instruction == expected["first_val"]


def test_lengths(golden, encoded):
    fact = golden("ch07.lengths")
    train = [len(row.ids) for row in encoded.first]
    every = [len(row.ids) for part in encoded for row in part]
    assert (max(train), min(train)) == (fact["expected"]["train_max"], fact["expected"]["train_min"])
    assert sum(train) / len(train) == pytest.approx(fact["expected"]["train_mean"], abs=fact["tolerance"])
    assert (max(every), sum(every)) == (fact["expected"]["all_max"], fact["expected"]["all_tokens"])


def test_targets_are_one_place_on_with_one_end(golden):
    rows = [PromptedIds(ids, 1) for ids in ([0, 1, 2, 3, 4], [5, 6], [7, 8, 9])]
    inputs, targets = join_instructions(rows, END)
    assert inputs.tolist() == [[0, 1, 2, 3, 4], [5, 6, END, END, END], [7, 8, 9, END, END]]
    assert targets.tolist() == golden("ch07.collate.targets")["expected"]
    assert golden("ch07.collate.targets")["inputs"]["ignore_index"] == IGNORED


def test_an_end_within_the_text_counts():
    """The book ignores all ends but the first by their id; here they are told by their place."""
    _, targets = join_instructions([PromptedIds([1, END, 2], 1), PromptedIds([3], 1)], END)
    assert targets.tolist() == [[END, 2, END], [END, IGNORED, IGNORED]]


def test_a_long_row_is_cut():
    inputs, targets = join_instructions([PromptedIds([1, 2, 3, 4], 1), PromptedIds([5], 1)], END, max_length=2)
    assert inputs.tolist() == [[1, 2], [5, END]]
    assert targets.tolist() == [[2, 3], [END, IGNORED]]


def test_batches_have_the_books_lengths(golden, encoded):
    """Their order is that of torch's generator."""
    fact = golden("ch07.loader.lengths")
    expected, seed = fact["expected"], fact["inputs"]["seed"]
    join = partial(join_instructions, end_id=END, max_length=1024)
    train = ExampleBatches(encoded.first, join, 8, seed)
    lengths = [train[step][0].size(1) for step in range(len(train))]
    assert len(train) == expected["batches"]
    assert (lengths[:12], lengths[-3:]) == (expected["first12"], expected["last3"])
    test, validation = (ExampleBatches(rows, join, 8, None, drop_last=False) for rows in (encoded.second, encoded.rest))
    assert (len(test), len(validation)) == (expected["test_batches"], expected["val_batches"])
    assert [validation[step][1].size(1) for step in range(7)] == expected["val_lengths"]


def test_the_instruction_can_be_left_out_of_the_loss(golden, tokenizer):
    fact = golden("ch07.mask.instruction")
    expected, entry = fact["expected"], Instruction(**fact["inputs"])
    (row,) = encode_instructions([entry], tokenizer)
    assert (row.prompt_length, len(row.ids)) == (expected["prompt_tokens"], expected["full_tokens"])
    _, targets = join_instructions([row], END, mask_prompt=True)
    assert (targets == IGNORED).sum() == expected["masked_targets"]
    assert targets[0, expected["masked_targets"] :].tolist() == expected["first_unmasked_targets"]
    _, whole = join_instructions([row], END)
    assert (whole == IGNORED).sum() == 0


@pytest.mark.parametrize(
    ("rows", "number", "reason"),
    [
        ({"instruction": "x"}, 1, "the file must hold a list of entries"),
        ([{"instruction": "x", "output": "y"}, "z"], 2, "an entry is an object, not str"),
        ([{"output": "y"}], 1, "instruction must be text, not NoneType"),
        ([{"instruction": "x", "output": ""}], 1, "output is empty"),
        ([{"instruction": "x", "input": None, "output": "y"}], 1, "input must be text, not NoneType"),
    ],
)
def test_a_bad_entry_is_refused_by_its_place(rows, number, reason):
    with pytest.raises(BadExample) as caught:
        read_instructions(rows)
    assert (caught.value.number, caught.value.reason) == (number, reason)


def test_an_entry_may_have_no_input_and_other_fields():
    assert read_instructions([{"instruction": "x", "output": "y", "source": 1}]) == [Instruction("x", "", "y")]
