"""A GGUF file of the GPT-2 or Llama family as our own network: what it says of itself, and its weights in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig, BadWeights
from app.llm.model.shapes import Shape, block_shapes, weight_shapes
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.llm.progress import Tell, silent
from app.llm.weights.dequantise import dequantise
from app.llm.weights.gguf_file import GGUFFile, TensorEntry, open_gguf
from app.llm.weights.gpt2 import joined_shape
from app.llm.weights.layout import Layout, Slot, Weights, check, shapes_of

_KNOWN_KEYS = {  # any other key of the architecture may change what the network computes
    "llama": {
        "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size",
        "attention.head_count", "attention.head_count_kv", "attention.key_length", "attention.value_length",
        "attention.layer_norm_rms_epsilon", "rope.dimension_count", "rope.freq_base",
    },
    "gpt2": {
        "context_length", "embedding_length", "block_count", "feed_forward_length", "vocab_size",
        "attention.head_count", "attention.layer_norm_epsilon",
    },
}  # fmt: skip
WITHOUT_QKV_BIAS = "inkling.without_qkv_bias"
"""Our own key in an exported GPT-2: its biases of queries, keys and values are zero because the network has none."""

_BLOCK = {  # our names within a block, llama.cpp's
    "attention_norm.scale": "attn_norm.weight",
    "attention_norm.shift": "attn_norm.bias",
    "attention.out.weight": "attn_output.weight",
    "attention.out.bias": "attn_output.bias",
    "feed_forward_norm.scale": "ffn_norm.weight",
    "feed_forward_norm.shift": "ffn_norm.bias",
    "feed_forward.gate.weight": "ffn_gate.weight",
    "feed_forward.up.weight": "ffn_up.weight",
    "feed_forward.up.bias": "ffn_up.bias",
    "feed_forward.down.weight": "ffn_down.weight",
    "feed_forward.down.bias": "ffn_down.bias",
}
_OUTSIDE = {
    "token_embedding.weight": "token_embd.weight",
    "position_embedding.weight": "position_embd.weight",
    "final_norm.scale": "output_norm.weight",
    "final_norm.shift": "output_norm.bias",
    "output.weight": "output.weight",
}


@dataclass(frozen=True, slots=True)
class GGUFMetadata:
    """What a file says of itself, before any weight is read."""

    architecture: str
    config: ModelConfig
    name: str
    licence: str | None
    tokens: list[str]
    token_types: list[int]
    merges: list[str]
    pre: str
    eos_id: int | None
    chat_template: str | None


def read_metadata(path: Path) -> GGUFMetadata:
    """Everything but the weights, in a tenth of a second.

    Raises:
        BadWeights: no GGUF file, truncated, of another architecture, or with values that do not fit together.
        OSError: the file cannot be opened.
    """
    return metadata_of(open_gguf(path))


@dataclass(frozen=True)
class GGUFTensors:
    """The tensors of an open file, as a `Source`."""

    file: GGUFFile

    @property
    def tensors(self) -> Mapping[str, TensorEntry]:
        return self.file.tensors

    def read(self, name: str) -> Tensor:
        return torch.from_numpy(dequantise(self.file.content, self.file.tensors[name]))


def load_gguf(path: Path, tell: Tell = silent) -> Transformer:
    """The network with its weights in float32, in evaluation mode.

    Raises:
        BadWeights: as `read_metadata`; a tensor is missing, has no place, another shape, or a kind that is not read.
        OSError: the file cannot be opened.
    """
    return stored_gguf(path)[1].whole(tell)


def stored_gguf(path: Path) -> tuple[GGUFMetadata, StoredNetwork]:
    """What a file says of itself, and its network, of which no weight is read yet.

    A part that is read is float32, and raises BadWeights where it is of a kind that is not read, or holds NaN or
    infinity. The file stays mapped as long as the network is held.

    Raises:
        BadWeights: as `read_metadata` and `weights_of`.
        OSError: the file cannot be opened.
    """
    file = open_gguf(path)
    about, weights = metadata_of(file), weights_of(file)
    return about, StoredNetwork(weights.config, weights.starting)


def weights_of(file: GGUFFile) -> Weights:
    """The weights of a file, every tensor's place and shape checked.

    Raises:
        BadWeights: another architecture; a tensor is missing, has no place, or another shape.
    """
    config = _network(file)
    shapes = shapes_of(config, len(file.tensors))  # before a layout of as many blocks as it claims is made
    weights = Weights(config, layout_of(config), GGUFTensors(file))
    without_bias = config.family == "gpt2" and not config.qkv_bias
    if without_bias and not _value(file.values, WITHOUT_QKV_BIAS, bool, False):
        raise BadWeights("the tensor 'blk.0.attn_qkv.bias' is missing")
    check(
        weights.layout,
        weights.source,
        shapes,
        zeros=joined_biases(config) if without_bias else {},
        ignored=lambda name: config.tied and name == "output.weight",
    )
    return weights


def joined_biases(config: ModelConfig) -> dict[str, Shape]:
    """The biases of queries, keys and values, which files of GPT-2 always have and a network may be without."""
    return {f"blk.{block}.attn_qkv.bias": joined_shape(config) for block in range(config.n_layers)}


def layout_of(config: ModelConfig) -> Layout:
    """Where our weights lie in a file of llama.cpp's.

    GPT-2 has queries, keys and values in one matrix; Llama has them apart, the rows of each head's halves interleaved.
    """
    names = [weight.name for weight in block_shapes(config)]
    slots = [Slot(theirs, (ours,)) for ours, theirs in _OUTSIDE.items() if ours in _outside(config)]
    for block in range(config.n_layers):
        place, ours = f"blk.{block}", f"blocks.{block}"
        slots += [Slot(f"{place}.{_BLOCK[name]}", (f"{ours}.{name}",)) for name in names if name in _BLOCK]
        for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
            query, key, value = (f"{ours}.attention.{part}.{kind}" for part in ("query", "key", "value"))
            if config.family == "gpt2":
                slots.append(Slot(f"{place}.attn_qkv.{kind}", (query, key, value)))
            else:
                slots.append(Slot(f"{place}.attn_q.{kind}", (query,), heads=config.n_heads))
                slots.append(Slot(f"{place}.attn_k.{kind}", (key,), heads=config.kv_heads))
                slots.append(Slot(f"{place}.attn_v.{kind}", (value,)))
    return slots


def _outside(config: ModelConfig) -> set[str]:
    return {weight.name for weight in weight_shapes(replace(config, n_layers=1))}


def metadata_of(file: GGUFFile) -> GGUFMetadata:
    """What an open file says of itself.

    Raises:
        BadWeights: as `read_metadata`.
    """
    values = file.values
    config = _network(file)
    if (kind := _value(values, "tokenizer.ggml.model", str)) != "gpt2":
        raise BadWeights(f"tokenizer.ggml.model: the tokenizer {kind!r} is not read, only 'gpt2' (byte pairs) is")
    for key in ("tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token"):
        if _value(values, key, bool, False):
            raise BadWeights(f"{key}: special tokens that are put around every text are not read")
    tokens = _list(values, "tokenizer.ggml.tokens", str)
    if len(tokens) != config.vocab_size:
        raise BadWeights(f"tokenizer.ggml.tokens: {len(tokens)} tokens, but {config.vocab_size} rows of token_embd")
    eos_id = _value(values, "tokenizer.ggml.eos_token_id", int, None)
    if eos_id is not None and not 0 <= eos_id < len(tokens):
        raise BadWeights(f"tokenizer.ggml.eos_token_id: {eos_id} is none of {len(tokens)} tokens")
    return GGUFMetadata(
        architecture=config.family,
        config=config,
        name=_value(values, "general.name", str, ""),
        licence=_value(values, "general.license", str, None),
        tokens=tokens,
        token_types=_list(values, "tokenizer.ggml.token_type", int),
        merges=_list(values, "tokenizer.ggml.merges", str) if values.get("tokenizer.ggml.merges", []) != [] else [],
        pre=_value(values, "tokenizer.ggml.pre", str, "default"),
        eos_id=eos_id,
        chat_template=_value(values, "tokenizer.chat_template", str, None),
    )


def _network(file: GGUFFile) -> ModelConfig:
    """The network that the key-values tell of, together with what the table of tensors shows."""
    values, tensors = file.values, file.tensors
    family = _value(values, "general.architecture", str)
    if family not in _KNOWN_KEYS:
        raise BadWeights(f"general.architecture: the architecture {family!r} is not read, only 'llama' and 'gpt2' are")
    known = {f"{family}.{key}" for key in _KNOWN_KEYS[family]}
    unknown = sorted(key for key in values if key.startswith(f"{family}.") and key not in known)
    if unknown:
        raise BadWeights(f"a network with {', '.join(unknown[:5])} is not read")
    if "token_embd.weight" not in tensors:
        raise BadWeights("the tensor 'token_embd.weight' is missing")
    vocab_size = tensors["token_embd.weight"].shape[0]
    if (found := _value(values, f"{family}.vocab_size", int, vocab_size)) != vocab_size:
        raise BadWeights(f"{family}.vocab_size: {found}, but token_embd.weight has {vocab_size} rows")
    try:
        return _gpt2(file, vocab_size) if family == "gpt2" else _llama(file, vocab_size)
    except BadConfig as error:
        raise BadWeights(f"the file's configuration cannot be: {error}") from error


def _llama(file: GGUFFile, vocab_size: int) -> ModelConfig:
    values = file.values
    heads = _value(values, "llama.attention.head_count", int)
    config = ModelConfig(
        vocab_size=vocab_size,
        context_length=_value(values, "llama.context_length", int),
        emb_dim=_value(values, "llama.embedding_length", int),
        n_heads=heads,
        n_layers=_value(values, "llama.block_count", int),
        n_kv_heads=_value(values, "llama.attention.head_count_kv", int, heads),
        hidden_dim=_value(values, "llama.feed_forward_length", int),
        norm="rmsnorm",
        position="rope",
        mlp="swiglu",
        qkv_bias="blk.0.attn_q.bias" in file.tensors,
        tied="output.weight" not in file.tensors,
        norm_eps=_value(values, "llama.attention.layer_norm_rms_epsilon", float),
        rope_base=_value(values, "llama.rope.freq_base", float, 10_000.0),
    )
    for key in ("rope.dimension_count", "attention.key_length", "attention.value_length"):
        if (found := _value(values, f"llama.{key}", int, config.head_dim)) != config.head_dim:
            told = f"{found} is not read where the rest of the file says {config.head_dim}"
            raise BadWeights(f"llama.{key}: {told}")
    return config


def _gpt2(file: GGUFFile, vocab_size: int) -> ModelConfig:
    values = file.values
    width = _value(values, "gpt2.embedding_length", int)
    return ModelConfig(
        vocab_size=vocab_size,
        context_length=_value(values, "gpt2.context_length", int),
        emb_dim=width,
        n_heads=_value(values, "gpt2.attention.head_count", int),
        n_layers=_value(values, "gpt2.block_count", int),
        hidden_dim=_value(values, "gpt2.feed_forward_length", int, 4 * width),
        qkv_bias="blk.0.attn_qkv.bias" in file.tensors and not _value(values, WITHOUT_QKV_BIAS, bool, False),
        tied=_has_tied_head(file),
        norm_eps=_value(values, "gpt2.attention.layer_norm_epsilon", float),
    )


def _has_tied_head(file: GGUFFile) -> bool:
    """Whether the head is the embedding, which older converters of GPT-2 stored twice."""
    tokens, output = (file.tensors.get(name) for name in ("token_embd.weight", "output.weight"))
    if tokens is None or output is None:
        return output is None
    if (tokens.kind, tokens.shape) != (output.kind, output.shape):
        return False
    first, second = (memoryview(file.content)[one.start : one.start + one.size_bytes] for one in (tokens, output))
    return first == second


_REQUIRED = object()


def _value(values: Mapping[str, Any], key: str, kind: type, default: Any = _REQUIRED) -> Any:
    value = values.get(key, default)
    if value is _REQUIRED:
        raise BadWeights(f"the key {key!r} is missing")
    if key in values and type(value) is not kind:
        raise BadWeights(f"{key}: {kind.__name__} expected, not {type(value).__name__}")
    return value


def _list(values: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    found: list[Any] = _value(values, key, list)
    if not found or type(found[0]) is not kind:  # the items of a list are all of one kind
        raise BadWeights(f"{key}: a list of {kind.__name__} expected")
    return found
