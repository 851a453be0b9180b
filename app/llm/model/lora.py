"""Low-rank adaptation (appendix E; Hu et al. 2021): frozen layers learn through two narrow matrices beside each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import LoRAConfig
from app.llm.errors import BadConfig

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
        self.dropout = config.dropout
        self.is_off = False
        self.lora_a = nn.Parameter(torch.empty(linear.in_features, rank, device=like.device, dtype=like.dtype))
        self.lora_b = nn.Parameter(torch.zeros(rank, linear.out_features, device=like.device, dtype=like.dtype))
        nn.init.kaiming_uniform_(self.lora_a, a=math.sqrt(5))  # the book's: up to 1/√rank; peft's up to 1/√in_features

    def forward(self, x: Tensor) -> Tensor:
        if self.is_off:
            plain: Tensor = self.linear(x)
            return plain
        read = F.dropout(x, self.dropout) if self.dropout and self.training else x  # what A reads; W reads all of it
        learnt: Tensor = self.linear(x) + self.scale * (read @ self.lora_a @ self.lora_b)
        return learnt  # (…, out_features)

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The wrapped layer, its weight changed by what was learnt: the same outputs at the cost of one product."""
        self.linear.weight += self.scale * (self.lora_a @ self.lora_b).T
        return self.linear


def apply_lora(model: nn.Module, config: LoRAConfig) -> int:
    """Freeze all weights and wrap the linear layers that `config` names, in place; how many weights learn now.

    Without names these are all linear layers but a language head.

    Raises:
        ValueError: there is LoRA in the model already.
        BadConfig: the model has no layer of a name.
    """
    if any(isinstance(module, LoRALinear) for module in model.modules()):
        raise ValueError("the model has LoRA layers already: merge them first")
    found = {path.rpartition(".")[2] for path, module in model.named_modules() if isinstance(module, nn.Linear)}
    missing = [name for name in config.targets or () if name not in found - {LANGUAGE_HEAD}]
    if missing:
        there = ", ".join(sorted(found - {LANGUAGE_HEAD}))
        raise BadConfig("targets", f"the network has no linear layers called {missing[0]}; it has {there}")
    _replace(model, nn.Linear, lambda linear: LoRALinear(linear, config), config.targets)
    let_lora_learn(model)
    return sum(parameter.numel() for parameter in lora_weights(model).values())


def let_lora_learn(model: nn.Module) -> None:
    """Have the weights that LoRA added learn, and no others."""
    model.requires_grad_(False)
    for parameter in lora_weights(model).values():
        parameter.requires_grad_(True)


def lora_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that LoRA added, by their names in the model: all that an adapter is."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in model.named_modules()
        if isinstance(module, LoRALinear)
        for name, parameter in module.named_parameters(recurse=False)
    }


@torch.no_grad()
def load_lora(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put weights of the names that `lora_weights` gives into a model that LoRA was applied to.

    Raises:
        ValueError: they are not those of the model's LoRA layers.
    """
    own = lora_weights(model)
    if own.keys() != tensors.keys():
        raise ValueError(f"weights of other layers: {', '.join(sorted(own.keys() ^ tensors.keys())[:5])}")
    for name, parameter in own.items():
        parameter.copy_(tensors[name])


@contextmanager
def without_lora(model: Layer) -> Iterator[Layer]:
    """The model as it was before anything was learnt, in evaluation mode, as long as the context is open."""
    layers = [module for module in model.modules() if isinstance(module, LoRALinear)]
    was_training = model.training
    model.eval()
    for layer in layers:
        layer.is_off = True
    try:
        yield model
    finally:
        for layer in layers:
            layer.is_off = False
        model.train(was_training)


def merge_lora(model: nn.Module) -> None:
    """Put what was learnt into the layers themselves, in place; the model has the layers it had before."""
    _replace(model, LoRALinear, LoRALinear.merged)


def _replace(
    model: nn.Module, kind: type[Layer], by: Callable[[Layer], nn.Module], names: tuple[str, ...] | None = None
) -> None:
    """Put another layer in the place of each of this kind, one after the other as they stand in the model."""
    for path, layer in list(model.named_modules()):
        parent, _, name = path.rpartition(".")
        if isinstance(layer, kind) and name != LANGUAGE_HEAD and (names is None or name in names):
            setattr(model.get_submodule(parent), name, by(layer))
