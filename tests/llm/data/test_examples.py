"""Batches of rows: orders are torch's loader's, whatever is joined; padding; what text is refused."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

from app.llm.data.examples import ExampleBatches, checked_text, cut, pad
from app.llm.errors import BadExample, DatasetTooShort


@pytest.mark.parametrize("drop_last", [True, False])
def test_epochs_follow_torchs_loader(drop_last):
    torch.manual_seed(7)
    loader = DataLoader(list(range(11)), 3, shuffle=True, drop_last=drop_last, collate_fn=list)
    theirs = [batch for _ in range(3) for batch in loader]
    ours = ExampleBatches(list(range(11)), list, 3, seed=7, drop_last=drop_last)
    assert [ours[step] for step in range(len(theirs))] == theirs
    assert len(ours) == len(loader)


def test_the_toy_loader_of_appendix_a(golden):
    """Its order is that of torch's generator."""
    fact = golden("appA.toy.loader")
    batches = ExampleBatches([0, 0, 0, 1, 1], list, 2, seed=fact["inputs"]["seed"], drop_last=False)
    assert [batches[step] for step in range(len(batches))] == fact["expected"]


def test_without_a_seed_rows_come_as_they_are():
    assert ExampleBatches("abcde", "".join, 2, seed=None, drop_last=False)[2] == "e"
    assert ExampleBatches("abcde", "".join, 9, seed=None)[4] == "abcde"


def test_a_batch_depends_on_seed_and_step_alone():
    straight, jumping = (ExampleBatches(list(range(20)), tuple, 3, seed=1) for _ in range(2))
    expected = [straight[step] for step in range(20)]
    assert [jumping[step] for step in reversed(range(20))] == expected[::-1]
    assert len({expected[0], expected[6], expected[12]}) == 3


def test_no_row_makes_no_batch():
    with pytest.raises(DatasetTooShort, match="no example"):
        ExampleBatches([], list, 2, seed=1)


def test_a_cut_rounds_down_and_loses_nothing():
    parts = cut(list(range(11)), 0.5, 0.25)
    assert parts == ([0, 1, 2, 3, 4], [5, 6], [7, 8, 9, 10])
    assert cut([], 0.5, 0.25) == ([], [], [])


def test_rows_are_filled_up_or_cut_at_their_ends():
    padded = pad([[1, 2, 3, 4], [5], []], 3, filler=9)
    assert padded.tolist() == [[1, 2, 3], [5, 9, 9], [9, 9, 9]]
    assert padded.dtype == torch.int64


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "output must be text, not NoneType"),
        (3, "output must be text, not int"),
        (" \n", "output is empty"),
        ("a\ud800", "output holds half a surrogate pair"),
    ],
)
def test_what_is_no_text_is_refused_by_its_place(value, reason):
    with pytest.raises(BadExample) as caught:
        checked_text(value, "output", 7)
    assert (caught.value.number, caught.value.reason) == (7, reason)


def test_some_texts_may_be_empty():
    assert checked_text("", "input", 1, may_be_empty=True) == ""
