"""The SMS messages of chapter 6 as the book prepares them, and rows that are refused.

Which messages are taken, and their order, rests on numpy's RandomState(123), as with the book's pandas.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from app.llm.data.examples import ExampleBatches, Parts, cut
from app.llm.data.labelled import (
    Labelled,
    LabelledIds,
    balanced,
    class_names,
    encode_labelled,
    join_labelled,
    longest,
    read_labelled,
    shuffled,
)
from app.llm.errors import BadExample
from app.llm.tokenizer.tiktoken_data import load

PAD = 50256


@pytest.fixture(scope="module")
def messages(shared_file: Callable[[str], Path]) -> list[Labelled]:
    with shared_file("SMSSpamCollection.tsv").open(encoding="utf-8", newline="") as lines:
        return read_labelled(lines)


@pytest.fixture(scope="module")
def parts(messages: list[Labelled]) -> Parts[Labelled]:
    return cut(shuffled([messages[number] for number in balanced(messages, seed=123)], seed=123), 0.7, 0.1)


@pytest.fixture(scope="module")
def encoded(parts: Parts[Labelled], assets: Path) -> Parts[LabelledIds]:
    tokenizer = load("gpt2", assets / "tiktoken")
    return Parts(*(encode_labelled(part, tokenizer, ("ham", "spam")) for part in parts))


def test_without_quoting_each_line_is_a_message(golden, shared_file):
    expected = golden("ch06.sms.raw")["expected"]
    path = shared_file("SMSSpamCollection.tsv")
    with path.open(encoding="utf-8", newline="") as lines:
        rows = read_labelled(lines, quotes=False)
    labels = Counter(row.label for row in rows)
    assert path.stat().st_size == expected["bytes"]
    assert len(rows) == expected["lines"]
    assert labels == {"ham": expected["ham"], "spam": expected["spam"]}
    assert len(set(rows)) == expected["unique_rows"]


def test_with_quoting_there_are_as_many_as_pandas_reads(golden, messages):
    expected = golden("ch06.sms.pandas")["expected"]
    labels = Counter(row.label for row in messages)
    assert {"rows": len(messages), **labels} == expected


def test_balanced_as_the_book_does_it(golden, messages):
    expected = golden("ch06.sms.balanced")["expected"]
    numbers = balanced(messages, seed=123)
    labels = Counter(messages[number].label for number in numbers)
    assert {"rows": len(numbers), **labels} == {key: expected[key] for key in ("rows", "ham", "spam")}
    assert [numbers[:5], numbers[-5:]] == [expected["first_index"], expected["last_index"]]


def test_split_as_the_book_does_it(golden, parts):
    expected = golden("ch06.sms.split")["expected"]
    names = ("train", "val", "test")
    assert {name: len(part) for name, part in zip(names, parts, strict=True)} == {n: expected[n] for n in names}
    spam = {name: sum(row.label == "spam" for row in part) for name, part in zip(names, parts, strict=True)}
    assert spam == expected["spam_in"]


def test_the_longest_messages(golden, encoded):
    expected = golden("ch06.sms.maxlen")["expected"]
    assert [longest(part) for part in encoded] == [expected[name] for name in ("train", "val", "test")]
    short = min(encoded.first, key=lambda row: len(row.ids))
    ids, _ = join_labelled([short], expected["train"], PAD)
    assert ids[0].tolist() == short.ids + [expected["pad_id"]] * (expected["train"] - len(short.ids))


def batches_of(rows: list[LabelledIds], length: int, seed: int | None) -> ExampleBatches:
    return ExampleBatches(rows, lambda part: join_labelled(part, length, PAD), 8, seed, drop_last=seed is not None)


def test_batches(golden, encoded):
    expected = golden("ch06.sms.batches")["expected"]
    length = longest(encoded.first)
    loaders = [batches_of(part, length, seed) for part, seed in zip(encoded, (123, None, None), strict=True)]
    assert [len(loader) for loader in loaders] == [expected[name] for name in ("train", "val", "test")]
    for loader in loaders:
        ids, labels = loader[0]
        assert (list(ids.shape), len(labels)) == (expected["shape"], 8)
    assert len(loaders[1][len(loaders[1]) - 1][1]) == 149 % 8


def test_the_first_batch_is_the_books(golden, encoded):
    """Its order is that of torch's generator."""
    fact = golden("ch06.sms.first_batch")
    batches = batches_of(encoded.first, 120, fact["inputs"]["seed"])
    assert batches.indices(0) == fact["expected"]["positions"]
    assert batches[0][1].tolist() == fact["expected"]["labels"]


def test_many_classes_are_cut_down_to_the_smallest():
    rows = [Labelled(label, f"{label}{number}") for number in range(9) for label in "abc"[: 1 + number // 3]]
    numbers = balanced(rows, seed=5)
    assert Counter(rows[number].label for number in numbers) == {"a": 3, "b": 3, "c": 3}
    assert [rows[number].text for number in numbers[-3:]] == ["c6", "c7", "c8"]
    assert len(set(numbers)) == 9
    assert balanced([], seed=5) == []


def test_equal_classes_are_left_alone():
    rows = [Labelled("b", "1"), Labelled("a", "2"), Labelled("b", "3"), Labelled("a", "4")]
    assert balanced(rows, seed=1) == [0, 2, 1, 3]
    assert class_names(rows) == ["a", "b"]


@pytest.mark.parametrize(
    ("lines", "number", "reason"),
    [
        (["ham\thello\n", "spam\n"], 2, "a row has a label and a text, not 1 fields"),
        (["ham\ta\tb\n"], 1, "a row has a label and a text, not 3 fields"),
        (["ham\tx\n", "\n", "ham\t\n"], 3, "text is empty"),
        (["\tx\n"], 1, "label is empty"),
        (["ham\tx\n", "ham\t" + "y" * 9_000_000 + "\n"], 2, "field larger than field limit (8388608)"),
    ],
)
def test_a_bad_row_is_refused_by_its_line(lines, number, reason):
    with pytest.raises(BadExample) as caught:
        read_labelled(lines)
    assert (caught.value.number, caught.value.reason) == (number, reason)


def test_quotation_marks_hold_a_delimiter_and_a_lines_end():
    assert read_labelled(['a,"x, ""y""\n', 'z"\n'], ",") == [Labelled("a", 'x, "y"\nz')]
    assert read_labelled(['a,"x\n'], ",", quotes=False) == [Labelled("a", '"x')]


def test_a_label_that_is_no_class_is_refused(assets):
    tokenizer = load("gpt2", assets / "tiktoken")
    with pytest.raises(BadExample, match=r"example 2: the label 'eggs' is none of ham, spam"):
        encode_labelled([Labelled("ham", "x"), Labelled("eggs", "y")], tokenizer, ("ham", "spam"))
