"""Examples cut in parts by a seed: to learn from, to measure on, to be held out till the end. Knows no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def split(labels: Sequence[Any], held_out: Sequence[float], seed: int) -> list[list[int]]:
    """Numbers of examples to learn from, and of those in each part that is kept back, of these shares.

    Of every class about the same share goes into a part, but at least one example, as long as one is left to learn
    from. Within a part the classes are mixed. Examples without classes are given one label.
    """
    random = np.random.default_rng(seed)
    members: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        members.setdefault(label, []).append(number)
    parts: list[list[int]] = [[] for _ in range(1 + len(held_out))]
    for name in sorted(members):
        order = random.permutation(members[name]).tolist()
        sizes = part_sizes(len(order), held_out)[1:]
        for place, size in enumerate(sizes, start=1):
            parts[place] += order[:size]
            del order[:size]
        parts[0] += order
    return [random.permutation(part).tolist() if part else [] for part in parts]


def part_sizes(count: int, held_out: Sequence[float]) -> list[int]:
    """How many of a class's `count` examples are learnt from, and how many go into each part that is kept back."""
    left = count
    sizes = []
    for share in held_out:
        size = min(max(1, round(share * count)), left - 1) if share > 0 else 0
        sizes.append(size)
        left -= size
    return [left, *sizes]
