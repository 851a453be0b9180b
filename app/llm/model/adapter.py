"""What LoRA learnt, apart from the network that it was learnt in: beside that network again, or in its weights.

Several adapters can stand beside one network at once, for its weights are shared and never changed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from app.llm.config import AdapterConfig, LoRAConfig, ModelConfig
from app.llm.errors import BadWeights
from app.llm.model.lora import apply_lora, load_lora
from app.llm.model.shapes import adapter_shapes
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer

_NUMBERS = itertools.count(1)

FUSED = (  # layers of a block that read the same input, and are one where text is generated
    ("attention.query", "attention.key", "attention.value"),
    ("attention.out",),
    ("feed_forward.gate", "feed_forward.up"),
    ("feed_forward.down",),
)


@dataclass(frozen=True, eq=False)
class Adapter:
    """The weights that LoRA added to a network, float32 on the CPU, by the names they had in it."""

    config: AdapterConfig
    tensors: Mapping[str, Tensor]
    number: int = field(default_factory=lambda: next(_NUMBERS))
    """Another one for every adapter in this process."""

    def __post_init__(self) -> None:
        wanted = {weight.name: weight.shape for weight in adapter_shapes(self.config)}
        found = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
        if found != wanted:
            odd = sorted(name for name in wanted | found if found.get(name) != wanted.get(name))
            raise BadWeights(f"the adapter's weights are not those of its configuration: {', '.join(odd[:5])}")

    @property
    def scale(self) -> float:
        return self.config.lora.alpha / self.config.lora.rank

    def parameter_count(self) -> int:
        return sum(tensor.numel() for tensor in self.tensors.values())

    def change(self, layer: str) -> Tensor | None:
        """What is added to the weight (out, in) of a layer when it is merged; None where nothing is."""
        if f"{layer}.lora_a" not in self.tensors:
            return None
        return self.scale * (self.tensors[f"{layer}.lora_a"] @ self.tensors[f"{layer}.lora_b"]).T


def check_fits(adapter: AdapterConfig, base: ModelConfig, base_sha256: str, named: str) -> None:
    """Pass an adapter of this base.

    Raises:
        BadWeights: it was made for another one.
    """
    if adapter.body != base:
        odd = [name for name, value in adapter.body.to_dict().items() if base.to_dict()[name] != value]
        told = ", ".join(f"{name} {getattr(adapter.body, name)!r}, not {getattr(base, name)!r}" for name in odd)
        raise BadWeights(f"the adapter was made for another network than {named}: one of {told}")
    if adapter.base_sha256 != base_sha256:
        raise BadWeights(f"the adapter was made for other weights than those of {named} (their sha256 differs)")


def worn(network: Transformer, adapter: Adapter) -> Transformer:
    """The network with the adapter beside its layers, in evaluation mode. All other weights are the network's own."""
    with without_weights():
        copy = Transformer(network.config)
    copy.load_state_dict(dict(network.named_parameters()), assign=True)
    wear(copy, adapter)
    return copy.eval().requires_grad_(False)


def wear(network: Transformer, adapter: Adapter) -> None:
    """Put the adapter beside the layers of `network`, in place; its weights learn, the others do not."""
    lora = adapter.config.lora
    apply_lora(network, LoRAConfig(lora.rank, lora.alpha, lora.dropout, adapter.config.targets))
    load_lora(network, adapter.tensors)


def merged_reader(read: Callable[[str], Tensor], adapter: Adapter) -> Callable[[str], Tensor]:
    """What reads the weights of the base with the adapter in them, one by one."""

    def read_merged(name: str) -> Tensor:
        layer, _, kind = name.rpartition(".")
        change = adapter.change(layer) if kind == "weight" else None
        return read(name) if change is None else read(name) + change

    return read_merged


@dataclass(frozen=True)
class Delta:
    """What an adapter adds to the outputs of layers that are one: x A^T B, the scale being in B."""

    a: Tensor  # (R, in)
    b: Tensor  # (R, out)

    def __call__(self, x: Tensor) -> Tensor:
        """What is added to the outputs (…, out) for inputs (…, in)."""
        return x @ self.a.T @ self.b

    def to(self, device: torch.device, dtype: torch.dtype) -> Delta:
        return Delta(self.a.to(device, dtype), self.b.to(device, dtype))

    @property
    def size_bytes(self) -> int:
        return self.a.nbytes + self.b.nbytes


@dataclass(frozen=True)
class BlockDeltas:
    """What an adapter adds in one block; None where it adds nothing."""

    qkv: Delta | None
    out: Delta | None
    up: Delta | None
    down: Delta | None


def deltas(adapter: Adapter) -> list[BlockDeltas]:
    """What an adapter adds, block by block, to layers that are one where text is generated (queries, keys, values)."""
    outputs = _outputs(adapter.config.body)
    return [
        BlockDeltas(*(_fused(adapter, f"blocks.{block}.", layers, outputs) for layers in FUSED))
        for block in range(adapter.config.body.n_layers)
    ]


def _fused(adapter: Adapter, place: str, layers: tuple[str, ...], outputs: Mapping[str, int]) -> Delta | None:
    """The A of each layer one below the other; each B in its layer's columns, zero elsewhere."""
    own = [layer for layer in layers if layer in outputs]
    total, rank, first = sum(outputs[layer] for layer in own), adapter.config.lora.rank, 0
    tops, bottoms = [], []
    for layer in own:
        if f"{place}{layer}.lora_a" in adapter.tensors:
            bottom = torch.zeros(rank, total)
            bottom[:, first : first + outputs[layer]] = adapter.scale * adapter.tensors[f"{place}{layer}.lora_b"]
            tops.append(adapter.tensors[f"{place}{layer}.lora_a"].T)
            bottoms.append(bottom)
        first += outputs[layer]
    return Delta(torch.cat(tops).contiguous(), torch.cat(bottoms).contiguous()) if tops else None


def _outputs(config: ModelConfig) -> dict[str, int]:
    """How many outputs each linear layer of a block has."""
    kv_width = config.kv_heads * config.head_dim
    found = {"attention.query": config.emb_dim, "attention.key": kv_width, "attention.value": kv_width}
    found |= {"attention.out": config.emb_dim}
    found |= {"feed_forward.gate": config.mlp_dim} if config.mlp == "swiglu" else {}
    return found | {"feed_forward.up": config.mlp_dim, "feed_forward.down": config.emb_dim}
