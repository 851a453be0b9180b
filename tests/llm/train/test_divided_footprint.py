"""What several devices take together: parts, a first one that takes more, and the choice by what is there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.llm.config import PRESETS, LoRAConfig, ModelConfig, Word2VecConfig
from app.llm.train.config import SkipGramConfig, TrainConfig
from app.llm.train.divided_footprint import of, of_shards, of_whole
from app.llm.train.footprint import PROCESS_BYTES, footprint

MEDIUM = ModelConfig(**PRESETS["gpt2-355m"], vocab_size=50257)
TRAIN = TrainConfig(batch_size=8)


def test_one_device_takes_what_it_takes_alone() -> None:
    alone = of_whole(MEDIUM, TRAIN, 64, 1)
    assert alone.first == alone.other == footprint(MEDIUM, TRAIN, 64)
    assert alone.together == alone.first.total


def test_whole_networks_have_a_part_of_the_batch_and_buffers_of_gradients() -> None:
    own = of_whole(MEDIUM, TRAIN, 64, 4).first
    assert own == replace(footprint(MEDIUM, replace(TRAIN, batch_size=2), 64), gradients=2 * own.weights)


@pytest.mark.parametrize("on_cpu", [False, True])
def test_of_many_shards_each_takes_little_and_the_first_all_weights(on_cpu: bool) -> None:
    whole = footprint(MEDIUM, replace(TRAIN, batch_size=1), 64)
    divided = of_shards(MEDIUM, TRAIN, 64, 8, on_cpu=on_cpu)
    state = whole.weights + whole.gradients + whole.optimizer
    held = divided.other.weights + divided.other.gradients + divided.other.optimizer
    around, block = 4 * (50257 + 1024 + 2) * 1024, (whole.weights - 4 * (50257 + 1024 + 2) * 1024) // 24
    assert held == pytest.approx(state / 8 + 2 * (around + max(around, 2 * block)) - max(around - 2 * block, 0), abs=64)
    saved = whole.optimizer if on_cpu else 0
    measuring = state / 8 + whole.weights + saved + whole.activations + PROCESS_BYTES
    assert divided.first.total == pytest.approx(max(measuring, divided.other.total), abs=64)
    assert divided.together == divided.first.total + 7 * divided.other.total


def test_bfloat16_keeps_copies_of_the_weights() -> None:
    plain = of_shards(MEDIUM, TRAIN, 64, 8, on_cpu=False).other
    mixed = of_shards(MEDIUM, replace(TRAIN, precision="bfloat16"), 64, 8, on_cpu=False).other
    assert mixed.weights - plain.weights == footprint(MEDIUM, TRAIN, 64).weights // 2


def test_an_adapters_base_is_divided() -> None:
    train = replace(TRAIN, lora=LoRAConfig(rank=8, alpha=8.0))
    divided = of_shards(MEDIUM, train, 64, 8, on_cpu=False).other
    assert divided.weights < footprint(MEDIUM, train, 64).weights / 2
    assert divided.optimizer == pytest.approx(footprint(MEDIUM, train, 64).optimizer / 8, abs=8)


@pytest.mark.parametrize("on_cpu", [False, True])
def test_auto_divides_what_would_not_fit(on_cpu: bool) -> None:
    whole = of_whole(MEDIUM, TRAIN, 64, 4)
    there = whole.together if on_cpu else whole.first.total

    def is_divided(there: int | None, **changes: object) -> bool:
        return of(MEDIUM, replace(TRAIN, **changes), 64, 4, there, on_cpu=on_cpu)[1]

    assert not is_divided(there)
    assert not is_divided(None)
    assert is_divided(there - 1)
    assert is_divided(there, shard="always")
    assert not is_divided(there - 1, shard="never")
    assert not is_divided(10**9, trainable="last_block")
    assert not is_divided(10**9, compile=True)
    assert not of(MEDIUM, TRAIN, 64, 1, 10**9, on_cpu=on_cpu)[1]
    assert not of(Word2VecConfig(300, 20), SkipGramConfig(), 10, 4, 1, on_cpu=on_cpu)[1]
