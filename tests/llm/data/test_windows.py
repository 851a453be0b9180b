"""The book's windows and batches (chapter 2), and that a batch depends on nothing but seed and step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from app.llm.data.windows import Batches, Mixture, Windows, window_count
from app.llm.errors import BadConfig, DatasetTooShort
from app.llm.tokenizer.tiktoken_data import load


@pytest.fixture(scope="module")
def verdict_ids(verdict: str, assets: Path) -> Tensor:
    return torch.tensor(load("gpt2", assets / "tiktoken").encode(verdict))


def first_batch(ids: Tensor, batch_size: int, max_length: int, stride: int) -> tuple[Tensor, Tensor]:
    return Batches(Windows(ids, max_length, stride), batch_size, seed=None)[0]


def test_the_book_counts_the_same_windows(golden):
    fact = golden("ch02.loader.window_count")
    for sizes, count in fact["expected"].items():
        max_length, stride = map(int, sizes.split("/"))
        assert window_count(fact["inputs"]["n_tokens"], max_length, stride) == count
        assert len(Windows(torch.arange(5145), max_length, stride)) == count


def test_a_target_is_the_input_one_place_on(golden, verdict_ids):
    """Figure 2.12's growing contexts are the prefixes of one window, each with the token after it."""
    pairs = golden("ch02.window.pairs")["expected"]["ids"]
    inputs, targets = Windows(verdict_ids[50:], max_length=4, stride=1)[0]
    assert [[inputs[: i + 1].tolist(), targets[i].item()] for i in range(4)] == pairs


@pytest.mark.parametrize(
    ("fact", "sizes"),
    [("ch02.loader.b4ml2s2", (4, 2, 2)), ("ch02.loader.b4ml8s2", (4, 8, 2))],
)
def test_exercise_2_2(golden, verdict_ids, fact, sizes):
    assert first_batch(verdict_ids, *sizes)[0].tolist() == golden(fact)["expected"]


def test_the_books_batch_of_eight(golden, verdict_ids):
    expected = golden("ch02.loader.b8s4")["expected"]
    batches = Batches(Windows(verdict_ids, 4, 4), batch_size=8, seed=None)
    assert [part.tolist() for part in batches[0]] == [expected["x"], expected["y"]]
    assert (len(batches.windows), len(batches)) == (expected["windows"], expected["batches_drop_last"])


def test_numbers_as_tokens(golden):
    expected = golden("ch02.loader.numbers")["expected"]
    numbers = torch.arange(1001)
    single = Batches(Windows(numbers, 4, 1), 1, seed=None)
    assert [part[0].tolist() for part in single[0]] == expected["b1s1"]["first"]
    assert [part[0].tolist() for part in single[len(single) - 1]] == expected["b1s1"]["last"]
    pairs = Batches(Windows(numbers, 4, 4), 2, seed=None)
    assert pairs[len(pairs) - 1][0].tolist() == expected["b2s4_last_x"]


def test_shuffled_numbers_are_in_the_order_of_the_books_loader(golden):
    batches = Batches(Windows(torch.arange(1001), 4, 4), 2, seed=123)
    assert batches[len(batches) - 1][0].tolist() == golden("ch02.loader.numbers.shuffle")["expected"]["x"]


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("count", [11, 12])
def test_epochs_follow_torchs_loader(count, drop_last):
    torch.manual_seed(7)
    loader = DataLoader(list(range(count)), batch_size=3, shuffle=True, drop_last=drop_last)
    theirs = [batch.tolist() for _ in range(4) for batch in loader]
    ours = Batches(Windows(torch.arange(count + 1), 1, 1), 3, seed=7, drop_last=drop_last)
    assert len(ours) == len(loader)
    assert [ours.indices(step) for step in range(len(theirs))] == theirs


def test_a_batch_depends_on_seed_and_step_alone():
    windows = Windows(torch.arange(100), 4, 4)
    straight, jumping = Batches(windows, 3, seed=1), Batches(windows, 3, seed=1)
    expected = [straight.indices(step) for step in range(40)]
    assert [jumping.indices(step) for step in reversed(range(40))] == expected[::-1]
    assert expected != [Batches(windows, 3, seed=2).indices(step) for step in range(40)]


def test_the_parts_of_a_batch_are_together_the_batch():
    batches = Batches(Windows(torch.arange(101), 2, 2), 6, 7)
    parts = [batches.part(number, 3) for number in range(3)]
    for step in (0, 5, 11):
        whole = batches[step]
        assert [index for part in parts for index in part.indices(step)] == batches.indices(step)
        for which in (0, 1):
            assert torch.equal(torch.cat([part[step][which] for part in parts]), whole[which])
    assert {len(part) for part in parts} == {len(batches)}


def test_batches_that_do_not_divide_evenly_have_no_parts():
    with pytest.raises(BadConfig, match="batches of 6 windows cannot be divided into 4 parts"):
        Batches(Windows(torch.arange(101), 2, 2), 6, 7).part(0, 4)


def test_fewer_windows_than_a_batch_make_one_smaller_batch():
    batches = Batches(Windows(torch.arange(9), 4, 4), batch_size=8, seed=0)
    assert len(batches) == 1
    assert batches[5][0].shape == (2, 4)


def test_a_memory_mapped_file_gives_the_same_windows(tmp_path: Path):
    np.arange(50, dtype=np.uint16).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", dtype=np.uint16, mode="r")
    for ours, expected in zip(Windows(mapped, 6, 5), Windows(torch.arange(50), 6, 5), strict=True):
        assert torch.equal(ours[0], expected[0])
        assert torch.equal(ours[1], expected[1])
        assert ours[0].dtype == torch.int64


def starts(windows: Sequence[tuple[Tensor, Tensor]]) -> list[int]:
    return [int(pair[0][0]) for pair in windows]


def test_a_mixture_gives_each_text_its_share_of_an_epoch():
    short, long = Windows(torch.arange(6), 1, 1), Windows(torch.arange(100, 116), 1, 1)  # 5 and 15 windows
    mixture = Mixture([short, long], weights=[3.0, 1.0])
    assert len(mixture) == 20
    assert starts(mixture) == [0, 1, 2, 3, 4] * 3 + [100, 103, 106, 109, 112]


@pytest.mark.parametrize("weights", [[0.2, 0.3], [7.0, 1e-9], [1.0, 1.0, 1.0]])
def test_a_mixture_is_as_long_as_its_texts(weights):
    parts = [Windows(torch.arange(7 + 3 * i), 2, 1) for i in range(len(weights))]
    mixture = Mixture(parts, weights)
    assert len(mixture) == sum(map(len, parts)) == len(list(mixture))


def test_one_text_alone_is_unchanged_by_its_weight():
    windows = Windows(torch.arange(30), 4, 3)
    assert starts(Mixture([windows], [0.1])) == starts(windows)


@pytest.mark.parametrize(("tokens", "fits"), [(0, False), (4, False), (5, True)])
def test_a_window_needs_one_id_more_than_its_length(tokens, fits):
    if fits:
        assert len(Windows(torch.arange(tokens), 4, 4)) == 1
    else:
        with pytest.raises(DatasetTooShort, match=f"{tokens} tokens hold no window"):
            Windows(torch.arange(tokens), 4, 4)
