"""The loop's optimizer, and what it remembers as tensors by name: "<parameter>.exp_avg", "….exp_avg_sq", "….step"."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from app.llm.errors import BadCheckpoint
from app.llm.train.config import LoopConfig


def make_optimizer(parameters: list[nn.Parameter], config: LoopConfig) -> torch.optim.AdamW:
    """AdamW as the book makes it: one group, decay on every weight that learns (chapter 5)."""
    return torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)


def optimizer_state(optimizer: torch.optim.Optimizer, learning: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The living tensors of the weights that learn; none before the first update."""
    return {
        f"{name}.{key}": tensor
        for name, parameter in learning.items()
        for key, tensor in optimizer.state[parameter].items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    learning: Mapping[str, nn.Parameter],
    state: Mapping[str, Tensor],
    part: Callable[[Tensor, Tensor], Tensor],
) -> None:
    """Have it remember what `optimizer_state` gave, of each tensor what `part` takes of it for a weight.

    Raises:
        BadCheckpoint: the tensors are not those of the weights that learn.
    """
    found: dict[str, dict[str, Tensor]] = {name: {} for name in learning}
    for full_name, tensor in state.items():
        name, _, key = full_name.rpartition(".")
        found.setdefault(name, {})[key] = tensor
    shapes = {name: {key: tuple(t.shape) for key, t in state.items()} for name, state in found.items()}
    wanted = {
        name: {"step": (), "exp_avg": tuple(p.shape), "exp_avg_sq": tuple(p.shape)} for name, p in learning.items()
    }
    if shapes != wanted:
        odd = sorted(name for name in shapes if shapes[name] != wanted.get(name))
        raise BadCheckpoint(f"the optimizer's state does not fit these weights: {', '.join(odd[:5])}")
    for name, parameter in learning.items():
        optimizer.state[parameter] = {key: part(t, parameter) for key, t in found[name].items()}
