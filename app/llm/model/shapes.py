"""Names and shapes of a network's weights, told from its configuration alone. Free of torch: nothing is made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from app.llm.config import AdapterConfig, ClassifierConfig, LoRAConfig, ModelConfig, NetworkConfig, Word2VecConfig

Shape = tuple[int, ...]
Part = Literal["embedding", "attention", "feed_forward", "norms", "head"]
PARTS: tuple[Part, ...] = ("embedding", "attention", "feed_forward", "norms", "head")
FLOAT_BYTES = 4  # weights are float32 in memory and on disk


@dataclass(frozen=True)
class WeightShape:
    """One weight: its name within the network, its shape, and the part it belongs to."""

    name: str
    shape: Shape
    part: Part

    @property
    def size(self) -> int:
        return math.prod(self.shape)


def weight_shapes(config: ModelConfig) -> Iterator[WeightShape]:
    """All weights of `Transformer(config)`, in the order of its `named_parameters`; a tied head is none of them."""
    yield WeightShape("token_embedding.weight", (config.vocab_size, config.emb_dim), "embedding")
    if config.position == "learned":
        yield WeightShape("position_embedding.weight", (config.context_length, config.emb_dim), "embedding")
    for block in range(config.n_layers):
        for weight in block_shapes(config):
            yield WeightShape(f"blocks.{block}.{weight.name}", weight.shape, weight.part)
    yield from _norm("final_norm", config)
    if not config.tied:
        yield WeightShape("output.weight", (config.vocab_size, config.emb_dim), "head")


def block_shapes(config: ModelConfig) -> Iterator[WeightShape]:
    """The weights of one block, named within it."""
    width, kv_width, mlp = config.emb_dim, config.kv_heads * config.head_dim, config.mlp_dim
    biased = config.norm == "layernorm"
    yield from _norm("attention_norm", config)
    for name, out in (("query", width), ("key", kv_width), ("value", kv_width)):
        yield from _linear(f"attention.{name}", (out, width), "attention", config.qkv_bias)
    yield from _linear("attention.out", (width, width), "attention", biased)
    yield from _norm("feed_forward_norm", config)
    if config.mlp == "swiglu":
        yield from _linear("feed_forward.gate", (mlp, width), "feed_forward", biased)
    yield from _linear("feed_forward.up", (mlp, width), "feed_forward", biased)
    yield from _linear("feed_forward.down", (width, mlp), "feed_forward", biased)


def adapter_shapes(config: AdapterConfig) -> Iterator[WeightShape]:
    """All weights of an adapter, named as `lora_weights` names them in the network that they were learnt in."""
    for block in range(config.body.n_layers):
        for weight in adapter_block_shapes(config):
            yield WeightShape(f"blocks.{block}.{weight.name}", weight.shape, weight.part)


def adapter_block_shapes(config: AdapterConfig) -> Iterator[WeightShape]:
    """Those beside one block's layers: A (in, rank) and B (rank, out)."""
    rank = config.lora.rank
    for weight in block_shapes(config.body):
        layer, _, kind = weight.name.rpartition(".")
        if kind == "weight" and layer.rpartition(".")[2] in config.targets:
            out, into = weight.shape
            yield WeightShape(f"{layer}.lora_a", (into, rank), weight.part)
            yield WeightShape(f"{layer}.lora_b", (rank, out), weight.part)


def bytes_by_part(config: NetworkConfig) -> dict[Part, int]:
    """Bytes of the weights in memory, by what they are for. Takes no longer for a thousand blocks than for one."""
    sizes = dict.fromkeys(PARTS, 0)
    if isinstance(config, Word2VecConfig):
        return sizes | {"embedding": FLOAT_BYTES * 2 * config.vocab_size * config.emb_dim}
    if isinstance(config, AdapterConfig):
        for weight in adapter_block_shapes(config):
            sizes[weight.part] += FLOAT_BYTES * config.body.n_layers * weight.size
        return sizes
    if isinstance(config, ClassifierConfig):
        head = FLOAT_BYTES * len(config.classes) * (config.body.emb_dim + 1)
        sizes = bytes_by_part(replace(config.body, tied=True)) | {"head": head}
        if config.lora is not None:
            for part, size in _classifier_lora(config, config.lora).items():
                sizes[part] += FLOAT_BYTES * size
        return sizes
    for weight in block_shapes(config):
        sizes[weight.part] += config.n_layers * weight.size
    for weight in weight_shapes(_without_blocks(config)):
        if not weight.name.startswith("blocks."):
            sizes[weight.part] += weight.size
    return {part: FLOAT_BYTES * size for part, size in sizes.items()}


def _classifier_lora(config: ClassifierConfig, lora: LoRAConfig) -> dict[Part, int]:
    """Numbers that LoRA adds to a classifier."""
    added: dict[Part, int] = dict.fromkeys(PARTS, 0)
    for weight in block_shapes(config.body):
        layer, _, kind = weight.name.rpartition(".")
        name, is_wanted = layer.rpartition(".")[2], lora.targets is None
        if kind == "weight" and len(weight.shape) == 2 and (is_wanted or name in (lora.targets or ())):
            added[weight.part] += config.body.n_layers * lora.rank * sum(weight.shape)
    if lora.targets is None or "head" in lora.targets:
        added["head"] += lora.rank * (config.body.emb_dim + len(config.classes))
    return added


def _without_blocks(config: ModelConfig) -> ModelConfig:
    """The same network with a single block, the fewest that a configuration can have."""
    return ModelConfig(**{**config.to_dict(), "n_layers": 1})


def _norm(name: str, config: ModelConfig) -> Iterator[WeightShape]:
    yield WeightShape(f"{name}.scale", (config.emb_dim,), "norms")
    if config.norm == "layernorm":
        yield WeightShape(f"{name}.shift", (config.emb_dim,), "norms")


def _linear(name: str, shape: Shape, part: Part, biased: bool) -> Iterator[WeightShape]:
    yield WeightShape(f"{name}.weight", shape, part)
    if biased:
        yield WeightShape(f"{name}.bias", shape[:1], part)
