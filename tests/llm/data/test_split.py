"""Parts of examples: every class has its share in each, the same seed cuts the same."""

from __future__ import annotations

from collections import Counter

import pytest

from app.llm.data.split import part_sizes, split


def test_every_class_has_its_share_in_every_part() -> None:
    labels = ["ham"] * 70 + ["spam"] * 30
    parts = split(labels, (0.1, 0.2), seed=5)
    assert sorted(number for part in parts for number in part) == list(range(100))
    counted = [Counter(labels[number] for number in part) for part in parts]
    assert counted == [{"ham": 49, "spam": 21}, {"ham": 7, "spam": 3}, {"ham": 14, "spam": 6}]
    assert parts == split(labels, (0.1, 0.2), seed=5) != split(labels, (0.1, 0.2), seed=6)


@pytest.mark.parametrize(
    ("count", "shares", "sizes"),
    [(100, (0.1, 0.2), [70, 10, 20]), (3, (0.1, 0.2), [1, 1, 1]), (1, (0.5, 0.2), [1, 0, 0]), (9, (0, 0), [9, 0, 0])],
)
def test_one_is_kept_back_at_least_and_one_is_left_to_learn_from(count, shares, sizes) -> None:
    assert part_sizes(count, shares) == sizes
    assert [len(part) for part in split(["one"] * count, shares, 1)] == sizes
