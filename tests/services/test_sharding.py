"""Whether a job's processes divide its network: by the first one's room, and all of them alike."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from app.llm.checkpoint import ModelMeta
from app.llm.config import AdapterConfig, LoRAConfig, ModelConfig
from app.llm.train.config import SkipGramConfig, TrainConfig
from app.llm.train.divided_footprint import of_whole
from app.llm.train.ranks import ALONE, Together
from app.services import machine, sharding

SHAPE = ModelConfig(vocab_size=500, context_length=64, emb_dim=32, n_heads=2, n_layers=2)
META = ModelMeta(SHAPE, "gpt2")
CPU, CARD = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> Together:
    """One of four processes, two of them on this machine."""
    monkeypatch.setattr("torch.distributed.get_rank", lambda: 0)
    monkeypatch.setattr("torch.distributed.get_world_size", lambda: 4)
    return Together(here=2)


def test_a_cpu_has_its_machine_s_memory_for_the_processes_on_it(four, monkeypatch):
    together = of_whole(SHAPE, TrainConfig(), 64, 4).together
    monkeypatch.setattr(machine, "memory_bytes", lambda: together // 2)
    assert not sharding.is_to_be(TrainConfig(), META, CPU, four)
    monkeypatch.setattr(machine, "memory_bytes", lambda: together // 2 - 1)
    assert sharding.is_to_be(TrainConfig(), META, CPU, four)


def test_a_gpu_has_its_own(four, monkeypatch):
    needed = of_whole(SHAPE, TrainConfig(), 64, 4).first.total
    room = SimpleNamespace(total_memory=needed)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: room if device == CARD else None)
    assert not sharding.is_to_be(TrainConfig(), META, CARD, four)
    room.total_memory -= 1
    assert sharding.is_to_be(TrainConfig(), META, CARD, four)
    assert not sharding.is_to_be(TrainConfig(shard="never"), META, CARD, four)


def test_what_stands_beside_a_base_is_divided_with_it(four):
    adapter = ModelMeta(AdapterConfig(SHAPE, LoRAConfig(rank=4), "0" * 64), "gpt2")
    assert sharding.is_to_be(TrainConfig(shard="always", lora=LoRAConfig(rank=4)), adapter, CPU, four)


def test_one_process_and_other_recipes_divide_nothing(four, monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: 1)
    assert not sharding.is_to_be(TrainConfig(), META, CPU, ALONE)
    assert not sharding.is_to_be(SkipGramConfig(), META, CPU, four)
    assert sharding.agreed(ALONE, lambda: False) is ALONE
