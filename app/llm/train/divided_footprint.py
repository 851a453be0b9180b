"""What devices take in memory that train one network together, each with all of it or a part. Free of torch."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.llm.config import ModelConfig, NetworkConfig
from app.llm.model.shapes import FLOAT_BYTES, block_shapes
from app.llm.train.config import LoopConfig, TrainConfig
from app.llm.train.footprint import Footprint, footprint


@dataclass(frozen=True)
class Divided:
    """Of the device that measures and saves, and of each other one."""

    first: Footprint
    other: Footprint
    devices: int

    @property
    def together(self) -> int:
        return self.first.total + (self.devices - 1) * self.other.total


def of_whole(network: NetworkConfig, train: LoopConfig, window: int, devices: int) -> Divided:
    """Each has the whole network, and its part of every batch."""
    own = footprint(network, _part_of_batch(train, devices), window)
    if devices > 1:
        own = replace(own, gradients=2 * own.gradients)  # with the buffers in which they are averaged
    return Divided(own, own, devices)


def of_shards(network: ModelConfig, train: LoopConfig, window: int, devices: int, *, on_cpu: bool) -> Divided:
    """Each has a part of weights, gradients and optimizer, as `shards.Sharded` divides them.

    While it learns a device has whole what stands around the blocks, and two blocks: the one that runs and the next.
    The first one has all weights while it measures and saves; the optimizer's state that it saves lies in its machine's
    memory, which is a device's own only `on_cpu`.
    """
    whole = footprint(network, _part_of_batch(train, devices), window)
    block = FLOAT_BYTES * sum(weight.size for weight in block_shapes(network))
    around = whole.weights - network.n_layers * block
    held = replace(
        whole,
        weights=_part(whole.weights, devices),
        gradients=_part(whole.gradients, devices),
        optimizer=_part(whole.optimizer, devices),
    )
    learns_whole = whole.gradients == whole.weights  # with LoRA what is whole for a while is next to nothing
    flowing = around + max(around, 2 * block) if learns_whole else whole.gradients  # and as they are sent
    copies = whole.weights // 2 if train.precision == "bfloat16" else 0  # autocast's, until the backward pass is over
    other = replace(held, weights=held.weights + around + 2 * block + copies, gradients=held.gradients + flowing)
    saved = whole.optimizer if on_cpu else 0
    measuring = replace(held, weights=held.weights + whole.weights, optimizer=held.optimizer + saved)
    return Divided(max(other, measuring, key=lambda one: one.total), other, devices)


def of(
    network: NetworkConfig, train: LoopConfig, window: int, devices: int, there: int | None, *, on_cpu: bool
) -> tuple[Divided, bool]:
    """What the devices take, and whether they divide the network, which `train.shard` says.

    Args:
        there: bytes of memory, of one device, or of the machine whose CPU is all of them; None: not known, so that
            `auto` is taken for no.
    """
    whole = of_whole(network, train, window, devices)
    if devices == 1 or not isinstance(train, TrainConfig) or train.shard == "never" or train.why_whole is not None:
        return whole, False
    assert isinstance(network, ModelConfig), "windows of text are learnt by decoders"
    fits = there is None or (whole.together if on_cpu else whole.first.total) <= there
    if train.shard == "auto" and fits:
        return whole, False
    return of_shards(network, train, window, devices, on_cpu=on_cpu), True


def _part(size: int, devices: int) -> int:
    return -(-size // devices)


def _part_of_batch(train: LoopConfig, devices: int) -> LoopConfig:
    return replace(train, batch_size=max(1, train.batch_size // devices))
