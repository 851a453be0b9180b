"""Adapters in the files of `peft`: `adapter_config.json` and `adapter_model.safetensors`, read and written.

Where a file's layer is several of ours (GPT-2's `c_attn`: queries, keys and values), the A of each stand one below the
other there, and B holds each one's own in its rows and columns, zero elsewhere; `rank_pattern` and `alpha_pattern` tell
that layer's larger rank, and its scale stays the same. What is read is taken apart again: a column of B that is zero in
a layer's rows adds nothing there. Ranks that differ are filled up with zeros; scales that differ go into B.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from app.llm.config import AdapterConfig, LoRAConfig, ModelConfig, adaptable
from app.llm.errors import BadConfig, BadWeights
from app.llm.model.adapter import Adapter
from app.llm.model.shapes import Shape, adapter_shapes, weight_shapes
from app.llm.weights import gpt2, llama
from app.llm.weights.hf_config_writer import family_of
from app.llm.weights.safetensors_file import SafetensorsFile, open_safetensors, write_safetensors

CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
PREFIX = "base_model.model."
_NAME = re.compile(r"[\w.-]+")
BASE_SHA256 = "base_sha256"  # in the metadata of files that were written here
OTHER_MATHS = (  # what `peft` can do beside plain LoRA
    *("use_dora", "lora_bias", "modules_to_save", "layer_replication", "trainable_token_indices"),
    *("target_parameters", "use_qalora", "alora_invocation_tokens", "arrow_config", "corda_config", "eva_config"),
)


@dataclass(frozen=True)
class _Module:
    """A linear layer of theirs in one block, and ours that are joined in it."""

    name: str
    block: int
    layers: tuple[str, ...]
    outputs: tuple[int, ...]
    inputs: int

    @property
    def target(self) -> str:
        """As a target is named: `c_proj` alone would be two layers of a block."""
        return ".".join(self.name.split(".")[-2:])


def write_adapter(folder: Path, adapter: Adapter, base_name: str) -> None:
    """Fill an empty folder with what `PeftModel.from_pretrained` loads beside the exported base.

    Args:
        base_name: told in the configuration; nothing is loaded by it here.

    Raises:
        BadConfig: the base is of neither family.
        OSError: the disk is full, or refuses.
    """
    lora, ranks, targets = adapter.config.lora, {}, []
    tensors: dict[str, Tensor] = {}
    for module in _modules(adapter.config.body):
        a, b = _joined(adapter, module)
        if a is None or b is None:
            continue
        tensors[f"{PREFIX}{module.name}.lora_A.weight"] = a
        tensors[f"{PREFIX}{module.name}.lora_B.weight"] = b
        if module.block == 0:
            targets.append(module.target)
        if len(a) != lora.rank:
            ranks[module.target] = len(a)
    write_safetensors(
        folder / TENSORS,
        [(name, tuple(tensor.shape)) for name, tensor in tensors.items()],
        tensors.items(),
        metadata={"format": "pt", BASE_SHA256: adapter.config.base_sha256},
    )
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "target_modules": targets,
        "rank_pattern": ranks,
        "alpha_pattern": {target: lora.alpha * rank / lora.rank for target, rank in ranks.items()},
        "fan_in_fan_out": family_of(adapter.config.body) == "gpt2",
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "modules_to_save": None,
        "init_lora_weights": True,
    }
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n")


def read_adapter(config: Mapping[str, Any], path: Path, base: ModelConfig, base_sha256: str) -> Adapter:
    """An adapter for `base` out of the file at `path` and what stands in its configuration.

    Raises:
        BadConfig: the configuration is no LoRA's, or of a kind that is not read; `field` names the key.
        BadWeights: the file is not whole, or it was made for another network; the text names the tensor.
        OSError: the file cannot be opened.
    """
    _check_config(config)
    file = open_safetensors(path)
    if file.metadata.get(BASE_SHA256, base_sha256) != base_sha256:
        raise BadWeights("the adapter was made for other weights than this base's (their sha256 differs)")
    modules = list(_modules(base))
    ranks = {module: rank for module in modules if (rank := _rank(file, module))}  # of the header alone
    _check_names(file, list(ranks))
    _check_blocks(config, modules, ranks)
    scales = [_scale(config, module, rank) for module, rank in ranks.items()]
    common = scales[0] if scales and all(math.isclose(scale, scales[0]) for scale in scales) else None
    found = {module: _pair(file, module) for module in ranks}
    parts = dict(_parts(config, found, common))
    used = {layer.rpartition(".")[2] for layer, (a, _) in parts.items() if len(a)}
    whole = {layer.rpartition(".")[2] for layer in parts}
    targets = tuple(name for name in adaptable(base) if name in (used or whole))
    if not targets:
        raise BadWeights("the adapter holds no layer of this network")
    rank = max(1, *(len(a) for a, _ in parts.values()))
    dropout = float(config.get("lora_dropout") or 0.0)
    lora = LoRAConfig(rank, rank * (1.0 if common is None else common), dropout, targets)
    about = AdapterConfig(base, lora, base_sha256)
    _check_filled(about, sum(math.prod(entry.shape) for entry in file.tensors.values()))
    shape = {weight.name.removesuffix(".weight"): weight.shape for weight in weight_shapes(base)}
    tensors: dict[str, Tensor] = {}
    for layer, its_shape in shape.items():
        if layer.startswith("blocks.") and layer.rpartition(".")[2] in targets:
            a, b = _filled(parts.get(layer), rank, its_shape)
            tensors[f"{layer}.lora_a"], tensors[f"{layer}.lora_b"] = a, b
    return Adapter(about, tensors)


def _modules(config: ModelConfig) -> Iterator[_Module]:
    """All layers of theirs that may have LoRA beside them."""
    layout = gpt2.hugging_face(config) if family_of(config) == "gpt2" else llama.hugging_face(config)
    shapes = {weight.name: weight.shape for weight in weight_shapes(config)}
    names = adaptable(config)
    for slot in layout:
        layers = tuple(name.removesuffix(".weight") for name in slot.ours if name.endswith(".weight"))
        if layers and all(layer.startswith("blocks.") and layer.rpartition(".")[2] in names for layer in layers):
            outputs = tuple(shapes[f"{layer}.weight"][0] for layer in layers)
            inputs, block = shapes[f"{layers[0]}.weight"][1], int(layers[0].split(".")[1])
            yield _Module(slot.name.removesuffix(".weight"), block, layers, outputs, inputs)


def _joined(adapter: Adapter, module: _Module) -> tuple[Tensor | None, Tensor | None]:
    """Theirs of one module: A (R, in) and B (out, R)."""
    own, rank = adapter.tensors, adapter.config.lora.rank
    present = [layer for layer in module.layers if f"{layer}.lora_a" in own]
    if not present:
        return None, None
    b = torch.zeros(sum(module.outputs), rank * len(present))
    row = 0
    for layer, outputs in zip(module.layers, module.outputs, strict=True):
        if layer in present:
            column = rank * present.index(layer)
            b[row : row + outputs, column : column + rank] = own[f"{layer}.lora_b"].T
        row += outputs
    return torch.cat([own[f"{layer}.lora_a"].T for layer in present]).contiguous(), b


def _check_config(config: Mapping[str, Any]) -> None:
    if config.get("peft_type") != "LORA":
        raise BadConfig("peft_type", f"must be LORA, not {config.get('peft_type')!r:.100}")
    if config.get("bias", "none") != "none":
        raise BadConfig("bias", f"biases that learnt along are not read: must be 'none', not {config['bias']!r:.100}")
    for key in OTHER_MATHS:
        if config.get(key):
            raise BadConfig(key, "adapters that use it are not read")
    if config.get("init_lora_weights", True) not in (True, False, "gaussian"):
        raise BadConfig("init_lora_weights", f"{config['init_lora_weights']!r:.100} changes the base, and is not read")
    _number("r", config.get("r"))
    _number("lora_alpha", config.get("lora_alpha"))
    dropout = config.get("lora_dropout") or 0.0
    if isinstance(dropout, bool) or not isinstance(dropout, int | float) or not 0.0 <= dropout < 1.0:
        raise BadConfig("lora_dropout", f"must be from 0 to below 1, not {dropout!r:.100}")
    for key in ("rank_pattern", "alpha_pattern"):
        if not isinstance(config.get(key) or {}, dict):
            raise BadConfig(key, "an object is expected")


def _number(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not (0 < value <= 1e6):
        raise BadConfig(key, f"must be a number above 0, not {value!r:.100}")
    return float(value)


def _rank(file: SafetensorsFile, module: _Module) -> int:
    """The rank of a module, the shapes of both its tensors seen to be those of the base; 0 where there is neither."""
    a_name, b_name = _names(module)
    if a_name not in file.tensors and b_name not in file.tensors:
        return 0
    for name in (a_name, b_name):
        if name not in file.tensors:
            raise BadWeights(f"the tensor {name!r} is missing")
    a_shape, b_shape = file.tensors[a_name].shape, file.tensors[b_name].shape
    rank = a_shape[0] if len(a_shape) == 2 else 0
    if rank == 0:
        raise BadWeights(f"tensor {a_name!r} has the shape {a_shape}; (rank, {module.inputs}) is needed")
    for name, shape, wanted in ((a_name, a_shape, (rank, module.inputs)), (b_name, b_shape, _wide(module, rank))):
        if shape != wanted:
            told = f"tensor {name!r} has the shape {shape}, this base asks for {wanted}"
            raise BadWeights(f"the adapter was made for another network: {told}")
    return rank


def _pair(file: SafetensorsFile, module: _Module) -> tuple[Tensor, Tensor]:
    """A (R, in) and B (out, R) of a module."""
    a_name, b_name = _names(module)
    a, b = file.read(a_name), file.read(b_name)
    for name, tensor in ((a_name, a), (b_name, b)):
        if not bool(tensor.isfinite().all()):
            raise BadWeights(f"tensor {name!r} holds NaN or infinity")
    return a, b


def _names(module: _Module) -> tuple[str, str]:
    a_name, b_name = (f"{PREFIX}{module.name}.lora_{letter}.weight" for letter in "AB")
    return a_name, b_name


def _wide(module: _Module, rank: int) -> Shape:
    return (sum(module.outputs), rank)


def _check_names(file: SafetensorsFile, modules: list[_Module]) -> None:
    known = {name for module in modules for name in _names(module)}
    surplus = sorted(file.tensors.keys() - known)
    if surplus:
        shown = ", ".join(repr(name[:120]) for name in surplus[:3])
        raise BadWeights(f"the adapter was made for another network, which has layers that this base has not: {shown}")


def _check_blocks(config: Mapping[str, Any], modules: list[_Module], ranks: Mapping[_Module, int]) -> None:
    """See that what one block has, all have, unless the configuration names the blocks."""
    if config.get("layers_to_transform") is not None:
        return
    kinds = {module.target for module in ranks}
    for module in modules:
        if module not in ranks and module.target in kinds:
            raise BadWeights(f"the tensor {_names(module)[0]!r} is missing")


def _check_filled(about: AdapterConfig, in_file: int) -> None:
    """Pass an adapter that does not become huge once each layer is filled up to the largest rank.

    Raises:
        BadWeights: it has more weights than its base then, few of which are in the file.
    """
    filled = sum(math.prod(weight.shape) for weight in adapter_shapes(about))
    base = sum(math.prod(weight.shape) for weight in weight_shapes(about.body))
    if filled > max(in_file, base):
        told = f"one layer has the rank {about.lora.rank}; with it in all of them that the adapter stands beside"
        raise BadWeights(f"{told} there were {filled:,} weights, more than the {base:,} of the base")


def _parts(
    config: Mapping[str, Any], found: Mapping[_Module, tuple[Tensor, Tensor]], common: float | None
) -> Iterator[tuple[str, tuple[Tensor, Tensor]]]:
    """Our layers with A (r, in) and B (out, r); r is as small as it can be in joined layers.

    Args:
        common: the scale of all modules; None: each has its own, which goes into B.
    """
    for module, (a, stored) in found.items():
        b = stored if common is not None else stored * _scale(config, module, len(a))
        row = 0
        for layer, outputs in zip(module.layers, module.outputs, strict=True):
            own = b[row : row + outputs]
            row += outputs
            if len(module.layers) == 1:
                yield layer, (a, own)
            else:
                used = own.any(0)  # (R)
                yield layer, (a[used], own[:, used])


def _scale(config: Mapping[str, Any], module: _Module, rank: int) -> float:
    """alpha / rank of one module, its own where a pattern names it."""
    wanted = _of_pattern(config, "rank_pattern", module, config["r"])
    if wanted != rank:
        told = f"the tensor of {module.name} has the rank {rank}, the configuration says {wanted:g}"
        raise BadWeights(told)
    alpha = _of_pattern(config, "alpha_pattern", module, config["lora_alpha"])
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of_pattern(config: Mapping[str, Any], key: str, module: _Module, otherwise: float) -> float:
    """What a pattern, the end of a module's name, says of it. A stranger's expression could run for ever."""
    for pattern, value in (config.get(key) or {}).items():
        if not _NAME.fullmatch(pattern):
            raise BadConfig(key, f"{pattern!r:.100} is no name of a layer, or the end of one; expressions are not read")
        if f".{module.name}".endswith(f".{pattern}"):
            return _number(key, value)
    return float(otherwise)


def _filled(pair: tuple[Tensor, Tensor] | None, rank: int, shape: Shape) -> tuple[Tensor, Tensor]:
    """Ours of one layer: A (in, rank) and B (rank, out), zeros where the file has fewer."""
    a, b = torch.zeros(shape[1], rank), torch.zeros(rank, shape[0])
    if pair is not None:
        a[:, : len(pair[0])], b[: len(pair[0])] = pair[0].T, pair[1].T
    return a, b
