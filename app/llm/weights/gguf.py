"""A GGUF file of the Llama family as our own network: what the file says of itself, and its weights in float32."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig, BadWeights
from app.llm.model.transformer import Transformer
from app.llm.weights.dequantise import dequantise
from app.llm.weights.gguf_file import GGUFFile, TensorEntry, open_gguf

_KNOWN_KEYS = {  # any other key of the architecture may change what the network computes
    "llama.context_length",
    "llama.embedding_length",
    "llama.block_count",
    "llama.feed_forward_length",
    "llama.vocab_size",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.value_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.dimension_count",
    "llama.rope.freq_base",
}
_OF_BLOCK = {  # our names of a block's weights, llama.cpp's
    "attention_norm.scale": "attn_norm.weight",
    "attention.query.weight": "attn_q.weight",
    "attention.key.weight": "attn_k.weight",
    "attention.value.weight": "attn_v.weight",
    "attention.out.weight": "attn_output.weight",
    "feed_forward_norm.scale": "ffn_norm.weight",
    "feed_forward.gate.weight": "ffn_gate.weight",
    "feed_forward.up.weight": "ffn_up.weight",
    "feed_forward.down.weight": "ffn_down.weight",
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
    return _metadata(open_gguf(path))


def load_gguf(path: Path) -> Transformer:
    """The network with its weights in float32, in evaluation mode.

    Raises:
        BadWeights: as `read_metadata`; a tensor is missing, has no place, another shape, or a kind that is not read.
        OSError: the file cannot be opened.
    """
    file = open_gguf(path)
    config = _metadata(file).config
    if config.n_layers > len(file.tensors):  # before an absurd network is made
        raise BadWeights(f"{len(file.tensors)} tensors are too few for {config.n_layers} blocks")
    with torch.device("meta"):
        model = Transformer(config)
    model.load_state_dict(dict(_weights(file, model)), assign=True)
    return model.eval()


def _weights(file: GGUFFile, model: Transformer) -> Iterator[tuple[str, Tensor]]:
    """Each weight of `model` by its name, out of the file."""
    names = _names(model.config)
    surplus = sorted(file.tensors.keys() - names.values())
    if surplus:
        raise BadWeights(f"tensors without a place in this network: {', '.join(surplus[:5])}")
    for name, parameter in model.named_parameters():
        entry = _entry(file.tensors, names[name], tuple(parameter.shape))
        weight = torch.from_numpy(dequantise(file.content, entry))
        if name.endswith("attention.query.weight"):
            weight = _unpermuted(weight, model.config.n_heads)
        elif name.endswith("attention.key.weight"):
            weight = _unpermuted(weight, model.config.kv_heads)
        yield name, weight


def _names(config: ModelConfig) -> dict[str, str]:
    """Our names of all weights, llama.cpp's."""
    names = {"token_embedding.weight": "token_embd.weight", "final_norm.scale": "output_norm.weight"}
    if not config.tied:
        names["output.weight"] = "output.weight"
    for block in range(config.n_layers):
        names |= {f"blocks.{block}.{ours}": f"blk.{block}.{theirs}" for ours, theirs in _OF_BLOCK.items()}
    return names


def _entry(tensors: Mapping[str, TensorEntry], name: str, shape: tuple[int, ...]) -> TensorEntry:
    if name not in tensors:
        raise BadWeights(f"the tensor {name!r} is missing")
    if tensors[name].shape != shape:
        raise BadWeights(f"tensor {name!r} has the shape {tensors[name].shape}, the configuration asks for {shape}")
    return tensors[name]


def _unpermuted(weight: Tensor, heads: int) -> Tensor:
    """A query or key weight (out, E) as Llama's authors store it.

    llama.cpp turns neighbours i, i + 1 by an angle, our network i, i + D / 2, so its file has the rows of each
    head's two halves interleaved.
    """
    out, into = weight.shape
    return weight.view(heads, out // heads // 2, 2, into).transpose(1, 2).reshape(out, into)


def _metadata(file: GGUFFile) -> GGUFMetadata:
    values = file.values
    architecture = _value(values, "general.architecture", str)
    if architecture != "llama":
        raise BadWeights(f"the architecture {architecture!r} is not read, only 'llama' is")
    if (kind := _value(values, "tokenizer.ggml.model", str)) != "gpt2":
        raise BadWeights(f"the tokenizer {kind!r} is not read, only 'gpt2' (byte pairs) is")
    tokens = _list(values, "tokenizer.ggml.tokens", str)
    eos_id = _value(values, "tokenizer.ggml.eos_token_id", int, None)
    if eos_id is not None and not 0 <= eos_id < len(tokens):
        raise BadWeights(f"tokenizer.ggml.eos_token_id: {eos_id} is none of {len(tokens)} tokens")
    return GGUFMetadata(
        architecture=architecture,
        config=_config(values, vocab_size=len(tokens), tied="output.weight" not in file.tensors),
        name=_value(values, "general.name", str, ""),
        licence=_value(values, "general.license", str, None),
        tokens=tokens,
        token_types=_list(values, "tokenizer.ggml.token_type", int),
        merges=_list(values, "tokenizer.ggml.merges", str),
        pre=_value(values, "tokenizer.ggml.pre", str, "default"),
        eos_id=eos_id,
        chat_template=_value(values, "tokenizer.chat_template", str, None),
    )


def _config(values: Mapping[str, Any], *, vocab_size: int, tied: bool) -> ModelConfig:
    unknown = sorted(key for key in values if key.startswith("llama.") and key not in _KNOWN_KEYS)
    if unknown:
        raise BadWeights(f"a network with {', '.join(unknown[:5])} is not read")
    heads = _value(values, "llama.attention.head_count", int)
    try:
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
            tied=tied,
            norm_eps=_value(values, "llama.attention.layer_norm_rms_epsilon", float),
            rope_base=_value(values, "llama.rope.freq_base", float, 10_000.0),
        )
    except BadConfig as error:
        raise BadWeights(f"the file's configuration cannot be: {error}") from error
    for key, only in {
        "llama.vocab_size": vocab_size,
        "llama.rope.dimension_count": config.head_dim,
        "llama.attention.key_length": config.head_dim,
        "llama.attention.value_length": config.head_dim,
    }.items():
        if (found := _value(values, key, int, only)) != only:
            raise BadWeights(f"{key}: {found} is not read where the rest of the file says {only}")
    return config


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
