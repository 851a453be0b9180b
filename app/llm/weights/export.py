"""Our network in the files of others: Hugging Face's folder, and GGUF. Written tensor by tensor."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from gguf.constants import GGMLQuantizationType
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.model.shapes import Shape, weight_shapes
from app.llm.tokenizer import hf_bpe
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.weights import gpt2, llama
from app.llm.weights.gguf import WITHOUT_QKV_BIAS, layout_of
from app.llm.weights.hf_config_writer import family_of, write_config
from app.llm.weights.layout import Layout, Slot, stored_shape, theirs
from app.llm.weights.safetensors_file import Stored, as_stored, write_safetensors

GGUFType = Literal["f32", "f16", "q8_0"]
_TORCH_NAMES = {"F32": "float32", "F16": "float16"}
_FILE_TYPES = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16}
_FILE_TYPES["q8_0"] = gguf.LlamaFileType.MOSTLY_Q8_0
Q8_BLOCK = 32


@dataclass(frozen=True)
class Exported:
    """What is written beside the weights. `read` gives a weight by our name, in float32."""

    name: str
    config: ModelConfig
    read: Callable[[str], Tensor]
    vocabulary: Vocabulary | None
    eos_id: int | None
    chat_template: str | None
    licence: str | None


def write_hugging_face(folder: Path, model: Exported, dtype: Stored) -> None:
    """Fill an empty folder with what `transformers` loads unchanged; a tokenizer only where one can be written.

    Raises:
        BadConfig: the network is of neither family.
        BadWeights: a number is too large for `dtype`.
        OSError: the disk is full, or refuses.
    """
    ids = {} if model.eos_id is None else {"eos_token_id": model.eos_id}
    _write(folder / "config.json", write_config(model.config, _TORCH_NAMES[dtype], ids))
    _write(folder / "generation_config.json", {"_from_model_config": True, **ids})
    if model.vocabulary is not None:
        _write(folder / "tokenizer.json", hf_bpe.write_tokenizer(model.vocabulary), indent=None)
        _write(folder / "tokenizer_config.json", _tokenizer_config(model, model.vocabulary))
    full = _with_biases(model.config)
    layout = gpt2.hugging_face(full) if family_of(full) == "gpt2" else _llama(full)
    shapes = {weight.name: weight.shape for weight in weight_shapes(full)} | _output_biases(full)
    write_safetensors(
        folder / "model.safetensors",
        ((slot.name, stored_shape(slot, shapes)) for slot in layout),
        _tensors(layout, model, shapes),
        dtype,
        {"format": "pt"},
    )


def write_gguf(path: Path, model: Exported, kind: GGUFType) -> None:
    """Write a file for llama.cpp. Vectors and position embeddings stay float32, as its own converter has them.

    Raises:
        BadConfig: the network is of neither family.
        BadWeights: a number is too large for 16 bits.
        OSError: the disk is full, or refuses.
    """
    family = family_of(model.config)
    full = _with_biases(model.config)
    layout = layout_of(full)
    shapes = {weight.name: weight.shape for weight in weight_shapes(full)}
    writer = gguf.GGUFWriter(path, family)
    try:
        _describe(writer, model, kind)
        for slot in layout:
            shape = stored_shape(slot, shapes)
            stored = _kind_of(slot, shape, kind)
            empty = gguf.quant_shape_to_byte_shape(shape, stored) if stored is GGMLQuantizationType.Q8_0 else shape
            dtype = {"F32": np.float32, "F16": np.float16, "Q8_0": np.uint8}[stored.name]
            size = int(np.prod(empty, dtype=np.int64)) * np.dtype(dtype).itemsize
            writer.add_tensor_info(slot.name, empty, np.dtype(dtype), size, stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for slot, (name, tensor) in zip(layout, _tensors(layout, model, shapes), strict=True):
            stored = _kind_of(slot, tuple(tensor.shape), kind)
            writer.write_tensor_data(_as_array(name, tensor, stored))
    finally:
        writer.close()


def _describe(writer: Any, model: Exported, kind: GGUFType) -> None:
    config = model.config
    writer.add_name(model.name)
    writer.add_file_type(_FILE_TYPES[kind])
    if model.licence is not None:
        writer.add_license(model.licence)
    writer.add_context_length(config.context_length)
    writer.add_embedding_length(config.emb_dim)
    writer.add_block_count(config.n_layers)
    writer.add_feed_forward_length(config.mlp_dim)
    writer.add_head_count(config.n_heads)
    if config.family == "gpt2":
        writer.add_layer_norm_eps(config.norm_eps)
        if not config.qkv_bias:
            writer.add_bool(WITHOUT_QKV_BIAS, True)
    else:
        writer.add_vocab_size(config.vocab_size)
        writer.add_head_count_kv(config.kv_heads)
        writer.add_layer_norm_rms_eps(config.norm_eps)
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_rope_freq_base(config.rope_base)
    if model.vocabulary is not None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(model.vocabulary.pre)
        writer.add_token_list(list(model.vocabulary.tokens))
        writer.add_token_types(list(model.vocabulary.token_types))
        writer.add_token_merges(list(model.vocabulary.merges))
        writer.add_add_bos_token(False)
    if model.eos_id is not None:
        writer.add_eos_token_id(model.eos_id)
    if model.chat_template is not None:
        writer.add_chat_template(model.chat_template)


def _kind_of(slot: Slot, shape: Shape, kind: GGUFType) -> GGMLQuantizationType:
    if len(shape) == 1 or kind == "f32" or slot.name == "position_embd.weight":
        return GGMLQuantizationType.F32
    if kind == "f16" or shape[-1] % Q8_BLOCK:
        return GGMLQuantizationType.F16
    return GGMLQuantizationType.Q8_0


def _as_array(name: str, tensor: Tensor, kind: GGMLQuantizationType) -> Any:
    if kind is GGMLQuantizationType.Q8_0:
        as_stored(name, tensor, "F16")  # a block's scale is of 16 bits
        return gguf.quantize(tensor.contiguous().numpy(), kind)
    return as_stored(name, tensor, "F16" if kind is GGMLQuantizationType.F16 else "F32").numpy()


def _tensors(layout: Layout, model: Exported, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Tensor]]:
    """Their tensors one by one; biases that our network has not are zero."""
    own = {weight.name for weight in weight_shapes(model.config)}

    def read(name: str) -> Tensor:
        return model.read(name) if name in own else torch.zeros(shapes[name])

    for slot in layout:
        yield slot.name, theirs(slot, read)


def _with_biases(config: ModelConfig) -> ModelConfig:
    """The same network with the biases that every file of its family has."""
    return replace(config, qkv_bias=True) if config.family == "gpt2" else config


def _llama(config: ModelConfig) -> Layout:
    layout = list(llama.hugging_face(config))
    if config.qkv_bias:  # `attention_bias` brings one for the output along, which our network has not
        layout += [Slot(f"model.{name}", (name,)) for name in _output_biases(config)]
    return layout


def _output_biases(config: ModelConfig) -> dict[str, Shape]:
    if config.family == "gpt2" or not config.qkv_bias:
        return {}
    return {name.removeprefix("model."): shape for name, shape in llama.output_biases(config).items()}


def _tokenizer_config(model: Exported, vocabulary: Vocabulary) -> dict[str, Any]:
    values: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": model.config.context_length,
        "clean_up_tokenization_spaces": False,
    }
    if model.eos_id is not None:
        values["eos_token"] = vocabulary.tokens[model.eos_id]
    return values if model.chat_template is None else values | {"chat_template": model.chat_template}


def _write(path: Path, value: object, indent: int | None = 2) -> None:
    path.write_text(json.dumps(value, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
