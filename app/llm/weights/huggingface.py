"""Safetensors files with a configuration beside them, as our own network: whose names they use is seen from the names.

Read are Hugging Face's GPT-2 and Llama, the released GPT-2 checkpoint, the book's `GPTModel`, and our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import BadConfig, BadWeights
from app.llm.weights import gpt2, llama
from app.llm.weights.layout import Layout, Shapes, Slot, Weights, check, check_shape, shapes_of
from app.llm.weights.safetensors_file import SafetensorsFile, TensorEntry, open_safetensors


@dataclass(frozen=True)
class Shards:
    """The tensors of several files, as a `Source`."""

    tensors: Mapping[str, TensorEntry]
    files: Mapping[str, SafetensorsFile]
    place_of: Mapping[str, str]
    """The name of each tensor's file."""

    def read(self, name: str) -> Tensor:
        return self.files[self.place_of[name]].read(name)


@dataclass(frozen=True)
class _Names:
    """One way to name a family's tensors."""

    layout: Layout
    head: str  # what the output layer is called, and, where it is tied, may be stored as
    embedding: str
    zeros: Shapes = field(default_factory=dict)
    ignored: Callable[[str], bool] = lambda _name: False


def open_weights(config: ModelConfig, files: Mapping[str, Path], index: Mapping[str, Any] | None = None) -> Weights:
    """The weights in `files`, every tensor's place and shape checked.

    Args:
        files: paths by the name that the index has for them.
        index: the content of `model.safetensors.index.json`, where there is one.

    Raises:
        BadWeights: a file is not whole; a tensor is missing, doubled, without a place, or of another shape.
        OSError: a file cannot be opened.
    """
    source = _shards(files)
    if index is not None:
        _check_index(source, index)
    shapes = shapes_of(config, len(source.tensors))
    names = _names(config, source.tensors)

    def ignored(name: str) -> bool:
        return names.ignored(name) or (config.tied and name == names.head)

    check(names.layout, source, shapes, zeros=names.zeros, ignored=ignored)
    if config.tied and names.head in source.tensors:
        _check_same(source, names.head, names.embedding)
    return Weights(config, names.layout, source)


def files_of(index: Mapping[str, Any]) -> list[str]:
    """Names of the files that an index lists.

    Raises:
        BadConfig: it is no index.
    """
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(one, str) for one in places.values()):
        raise BadConfig("weight_map", "an object of file names is expected")
    return sorted(set(places.values()))


def _shards(files: Mapping[str, Path]) -> Shards:
    tensors: dict[str, TensorEntry] = {}
    opened: dict[str, SafetensorsFile] = {}
    place_of: dict[str, str] = {}
    for file_name, path in files.items():
        file = opened[file_name] = open_safetensors(path)
        if both := sorted(file.tensors.keys() & tensors.keys()):
            raise BadWeights(f"the tensor {both[0][:200]!r} stands in two files, one of them {file_name}")
        tensors |= file.tensors
        place_of |= dict.fromkeys(file.tensors, file_name)
    return Shards(tensors, opened, place_of)


def _check_index(source: Shards, index: Mapping[str, Any]) -> None:
    listed = index["weight_map"]
    odd = sorted(listed.keys() ^ source.tensors.keys())
    if odd:
        where = "is in no file" if odd[0] in listed else "is not in the index"
        raise BadWeights(f"the tensor {odd[0][:200]!r} {where}")
    for name, place in source.place_of.items():
        if listed[name] != place:
            told = f"is in {place}, the index has it in {listed[name][:200]!r}"
            raise BadWeights(f"the tensor {name[:200]!r} {told}")


def _check_same(source: Shards, head: str, embedding: str) -> None:
    """See that a head that is stored, though it is tied, is the embedding, whose shape was checked."""
    check_shape(source, head, source.tensors[embedding].shape)
    if not bool((source.read(head) == source.read(embedding)).all()):
        raise BadWeights(f"tensor {head!r} is not {embedding!r}, though the configuration ties them")


def _names(config: ModelConfig, tensors: Mapping[str, TensorEntry]) -> _Names:
    """Whose names they are.

    Raises:
        BadWeights: nobody's that is known, or of another family than the configuration's.
    """
    if "token_embedding.weight" in tensors:
        own = [Slot(name, (name,)) for name in shapes_of(config, len(tensors))]
        return _Names(own, "output.weight", "token_embedding.weight")
    for prefix in ("model.", "") if config.family == "llama" else ():
        if f"{prefix}embed_tokens.weight" in tensors:
            zeros = llama.output_biases(config, prefix) if config.qkv_bias else {}
            layout = llama.hugging_face(config, prefix)
            return _Names(layout, "lm_head.weight", f"{prefix}embed_tokens.weight", zeros, llama.is_no_weight)
    for prefix in ("transformer.", "") if config.family == "gpt2" else ():
        if f"{prefix}wte.weight" in tensors:
            zeros = {} if config.qkv_bias else gpt2.joined_biases(config, prefix)
            layout = gpt2.hugging_face(config, prefix)
            return _Names(layout, "lm_head.weight", f"{prefix}wte.weight", zeros, gpt2.is_no_weight)
    if config.family == "gpt2" and "model/wte" in tensors:
        return _Names(gpt2.released(config), "", "model/wte")
    if config.family == "gpt2" and "tok_emb.weight" in tensors:
        return _Names(gpt2.book(config), "out_head.weight", "tok_emb.weight", {}, gpt2.is_no_weight_of_the_book)
    shown = ", ".join(repr(name[:60]) for name in sorted(tensors)[:3])
    raise BadWeights(f"the tensor of a {config.family} network's token embedding is missing; there are {shown}")
