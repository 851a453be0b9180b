"""Whether the devices of a job divide its network among them: decided where it trains, by the first process for all."""

from __future__ import annotations

from collections.abc import Callable

import torch

from app.llm.checkpoint import ModelMeta
from app.llm.config import AdapterConfig, ModelConfig
from app.llm.train import divided_footprint
from app.llm.train.config import LoopConfig, TrainConfig
from app.llm.train.ranks import Ranks
from app.services import machine
from app.services.recipe import window_length


def agreed(ranks: Ranks, is_to_be: Callable[[], bool]) -> Ranks:
    """The processes as they train a network: with parts of it, or as they are. All of them ask; the first one decides.

    Raises:
        TrainingStopped: as `Ranks.led`.
    """
    if ranks.led(lambda: 1.0 if is_to_be() else None) is None:
        return ranks
    from app.llm.train.shards import Sharded  # half a second of imports, for those who need it

    return Sharded(ranks.here)


def is_to_be(config: LoopConfig, meta: ModelMeta, device: torch.device, ranks: Ranks) -> bool:
    """Whether the network is to be divided, by what the job says and what this process's device has room for."""
    if ranks.count == 1 or not isinstance(config, TrainConfig):
        return False
    network = meta.config.body if isinstance(meta.config, AdapterConfig) else meta.config
    assert isinstance(network, ModelConfig), "the recipe of such networks"
    window = window_length(config, network.context_length)
    on_cpu = device.type == "cpu"
    # Of several machines each has memory for the processes on it alone.
    there = machine.memory_bytes() * ranks.count // ranks.here if on_cpu else _memory_of(device)
    return divided_footprint.of(network, config, window, ranks.count, there, on_cpu=on_cpu)[1]


def _memory_of(device: torch.device) -> int:
    return int(torch.cuda.get_device_properties(device).total_memory)
