"""The order in which an epoch's windows come, shuffled by a seed. Knows numbers only, no window and no text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Numbers = npt.NDArray[np.int64]
_Words = npt.NDArray[np.uint64]

LARGE = 1 << 21
"""From so many on (16 MiB of order) each number's place is computed; below, they come as from DataLoader's sampler."""
_ROUNDS = 6
_DRAWS_AT_ONCE = 1 << 16


class EpochOrder:
    """Numbers 0..count - 1, each once an epoch; which comes when depends on nothing but the seed and the epoch.

    Fewer than `LARGE` come in the orders of `DataLoader(shuffle=True)` made right after `torch.manual_seed(seed)`;
    more of them in those of a keyed permutation, which needs no memory. Without a seed they come as they are.
    """

    def __init__(self, count: int, seed: int | None) -> None:
        self.count = count
        self.seed = seed
        self._held: tuple[int, Tensor] = (-1, torch.empty(0))  # the last epoch asked for: steps come in order
        self._draws = (0, torch.Generator())  # epochs whose numbers were drawn, and what draws the next ones

    def numbers(self, epoch: int, start: int, stop: int) -> Numbers:
        """What comes at the places `start` to `stop` of an epoch, both counted from 0."""
        stop = min(stop, self.count)
        if self.seed is None:
            return np.arange(start, stop)
        if self.count < LARGE:
            found: Numbers = self._sampled(epoch, self.seed)[start:stop].numpy()
            return found
        keys = np.random.SeedSequence((self.seed, epoch)).generate_state(_ROUNDS, np.uint64).astype(np.uint64)
        return _scattered(np.arange(start, stop, dtype=np.uint64), self.count, keys)

    def _sampled(self, epoch: int, seed: int) -> Tensor:
        if self._held[0] != epoch:
            order = torch.Generator().manual_seed(self._sampler_seed(epoch, seed))
            self._held = (epoch, torch.randperm(self.count, generator=order))
        return self._held[1]

    def _sampler_seed(self, epoch: int, seed: int) -> int:
        """DataLoader draws two numbers an epoch from the global generator; the second one seeds its sampler."""
        drawn, source = self._draws
        if epoch < drawn or drawn == 0:
            drawn, source = 0, torch.Generator().manual_seed(seed)
        left = 2 * (epoch + 1 - drawn)
        draws = torch.empty(0, dtype=torch.int64)
        while left:
            draws = torch.empty(min(left, _DRAWS_AT_ONCE), dtype=torch.int64).random_(generator=source)
            left -= len(draws)
        self._draws = (epoch + 1, source)
        return int(draws[-1])


def _scattered(places: _Words, count: int, keys: _Words) -> Numbers:
    """Where a permutation of 0..count - 1 sends `places`: a Feistel network over the next power of four.

    A number that it sends beyond `count` is sent on until it falls below, which keeps it one to one.
    """
    half = np.uint64((max(count - 1, 1).bit_length() + 1) // 2)
    once = _network(half, keys)
    found = once(places)
    while (outside := found >= count).any():
        found[outside] = once(found[outside])
    scattered: Numbers = found.astype(np.int64)
    return scattered


def _network(half: np.uint64, keys: _Words) -> Callable[[_Words], _Words]:
    """The permutation of numbers of 2 * `half` bits; each round mixes one half into the other."""
    mask = (np.uint64(1) << half) - np.uint64(1)

    def once(numbers: _Words) -> _Words:
        left, right = numbers >> half, numbers & mask
        for key in keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        return (left << half) | right

    return once


def _mixed(numbers: _Words) -> _Words:
    """A hash in which each bit depends on all (the finaliser of SplitMix64, Steele et al. 2014)."""
    mixed = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed
