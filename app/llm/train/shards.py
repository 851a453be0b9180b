"""Processes that hold one network together: of every weight, its gradient and its optimizer's state each has a part.

Torch's FSDP2 (`fully_shard`; Zhao et al. 2023) puts a block's weights together where the block runs, and takes them
apart after. The first process has whole weights while it measures, samples and saves, so that a checkpoint is the file
that one process alone would write.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor

from app.llm.model.transformer import Transformer
from app.llm.train.ranks import Learner, Loss, Together


class Sharded(Together):
    """One of several processes, each with a part of a decoder."""

    def __init__(self, here: int | None = None) -> None:
        super().__init__(here)
        self._groups: list[FSDPModule] = []

    def loss_of(self, learner: Learner) -> Callable[[Any], Loss]:
        """As of `Ranks`; the learner's weights are parts from here on, and whole while its loss is taken."""
        loss = _ShardedLoss(learner, self.count)
        self._groups = [module for module in loss.modules() if isinstance(module, FSDPModule)]
        return loss

    def apart(self) -> AbstractContextManager[Any]:
        return nullcontext()  # gradients that wait for others would be whole ones, for which there is no room

    @contextmanager
    def with_weights(self) -> Iterator[None]:
        """As of `Ranks`; the others have a group's whole weights at a time, no longer than it takes to gather them."""
        for group in self._groups:
            group.unshard()
            if self.rank > 0:
                group.reshard()
        try:
            yield
        finally:
            for group in self._groups:
                group.reshard()

    def whole(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        for name, tensor in tensors.items():
            one = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
            if self.rank == 0:  # the others let go of it before the next one comes
                found[name] = one.cpu()
        return found

    def part(self, whole: Tensor, like: Tensor) -> Tensor:
        if not isinstance(like, DTensor) or whole.shape != like.shape:  # a count of steps, which each process has
            return whole.to(like.device)
        # Each process has read all of it: nothing is sent. `fully_shard` divides rows as `torch.chunk` does.
        rows = -(-whole.size(0) // self.count)
        part = torch.empty_like(like)
        assert isinstance(part, DTensor), "as what it is like"
        part.to_local().copy_(whole[self.rank * rows : (self.rank + 1) * rows])
        return part

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        total = super().norm(gradients)
        return total.full_tensor() if isinstance(total, DTensor) else total


class _Block(nn.Module):
    """Stands before a block, so that what FSDP does at each call is not done where the block is called without it."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, *given: Any) -> Any:
        return self.block(*given)


class _ShardedLoss(nn.Module):
    """A loss as a network's output, the blocks of which are groups of their own, and all other weights one."""

    def __init__(self, learner: Learner, count: int) -> None:
        super().__init__()
        assert isinstance(learner.model, Transformer), "only decoders have blocks to divide"
        self.model, self._loss = learner.model, learner.loss
        self.shards = nn.ModuleList(_Block(block) for block in self.model.blocks)
        mesh = init_device_mesh(next(self.model.parameters()).device.type, (count,))
        for shard in self.shards:
            fully_shard(shard, mesh=mesh)
        with self._calling_shards():
            fully_shard(self, mesh=mesh)  # a tied head is the embedding: both are in this group

    def forward(self, batch: Any) -> Loss:
        with self._calling_shards():
            return self._loss(batch)

    @contextmanager
    def _calling_shards(self) -> Iterator[None]:
        blocks = self.model.blocks
        self.model.blocks = self.shards
        try:
            yield
        finally:
            self.model.blocks = blocks
