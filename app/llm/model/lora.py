"""Low-rank adaptation (appendix E; Hu et al. 2021): frozen layers learn through two narrow matrices beside each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from app.llm.config import LoRAConfig

Layer = TypeVar("Layer", bound=nn.Module)

LANGUAGE_HEAD = "output"
"""Of a Transformer: it reads this layer's weight itself, and a rank of 16 would say little about a vocabulary."""


class LoRALinear(nn.Module):
    """A linear layer, and what is learnt on top of it: x W + (alpha / rank) x A B."""

    def __init__(self, linear: nn.Linear, config: LoRAConfig) -> None:
        """Stand in for `linear`. B is zero at the start, so that nothing changes before something is learnt."""
        super().__init__()
        like, rank = linear.weight, config.rank
        self.linear = linear
        self.scale = config.alpha / rank
        self.lora_a = nn.Parameter(torch.empty(linear.in_features, rank, device=like.device, dtype=like.dtype))
        self.lora_b = nn.Parameter(torch.zeros(rank, linear.out_features, device=like.device, dtype=like.dtype))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # as nn.Linear starts

    def forward(self, x: Tensor) -> Tensor:
        learnt: Tensor = self.linear(x) + self.scale * (x @ self.lora_a @ self.lora_b)
        return learnt  # (…, out_features)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The wrapped layer, its weight changed by what was learnt: the same outputs at the cost of one product."""
        self.linear.weight += self.scale * (self.lora_a @ self.lora_b).T
        return self.linear


def apply_lora(model: nn.Module, config: LoRAConfig) -> int:
    """Freeze all weights and wrap each linear layer but a language head, in place; how many weights learn now.

    Raises:
        ValueError: there is LoRA in the model already.
    """
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ValueError("the model has LoRA layers already: merge them first")
    model.requires_grad_(False)
    _replace(model, nn.Linear, lambda linear: LoRALinear(linear, config))
    return sum(parameter.numel() for parameter in lora_weights(model).values())


def lora_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that LoRA added, by their names in the model: all that an adapter is."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in model.named_modules()
        if isinstance(module, LoRALinear)
        for name, parameter in module.named_parameters(recurse=False)
    }


def merge_lora(model: nn.Module) -> None:
    """Put what was learnt into the layers themselves, in place; the model has the layers it had before."""
    _replace(model, LoRALinear, LoRALinear.merged)


def _replace(model: nn.Module, kind: type[Layer], by: Callable[[Layer], nn.Module]) -> None:
    """Put another layer in the place of each of this kind, one after the other as they stand in the model."""
    for path, layer in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if isinstance(layer, kind) and name != LANGUAGE_HEAD:
            setattr(model.get_submodule(parent), name, by(layer))
