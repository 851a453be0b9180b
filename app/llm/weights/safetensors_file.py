"""The container of safetensors files: a checked table of tensors to read from, and a writer that streams.

The layout is Hugging Face's (github.com/huggingface/safetensors): the header's length, the header as JSON, the
tensors one after the other. Every length, count, shape and offset is checked against the file before it is believed,
and a refusal names the tensor, which the library's own reader does not. Knows nothing of networks.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from app.llm.errors import BadWeights
from app.llm.model.shapes import Shape

MAX_HEADER_BYTES = 16 * 1024 * 1024  # a hundred thousand tensors would need about so much
MAX_TENSORS = 1 << 16
MAX_DIMENSIONS = 4
Stored = Literal["F32", "F16"]
_DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies: its shape, the name of its number format, and the bytes of the file that hold it."""

    name: str
    shape: Shape
    dtype: str
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class SafetensorsFile:
    """An open file: its table of tensors, and its bytes, mapped into memory (a private map)."""

    tensors: Mapping[str, TensorEntry]
    content: mmap.mmap
    metadata: Mapping[str, str]

    def read(self, name: str) -> Tensor:
        """A tensor in float32; one that is stored so is not copied.

        Raises:
            BadWeights: its number format is not read.
        """
        entry = self.tensors[name]
        if entry.dtype not in _DTYPES:
            raise BadWeights(f"tensor {name!r} is {entry.dtype}, which is not read; {', '.join(_DTYPES)} are")
        dtype = _DTYPES[entry.dtype]
        if entry.start % dtype.itemsize:  # a header of an odd length
            held = bytearray(self.content[entry.start : entry.start + entry.size_bytes])
            return torch.frombuffer(held, dtype=dtype).float().reshape(entry.shape)
        count = entry.size_bytes // dtype.itemsize
        return torch.frombuffer(self.content, dtype=dtype, count=count, offset=entry.start).float().reshape(entry.shape)


def open_safetensors(path: Path) -> SafetensorsFile:
    """Read the header of a file and map the rest. The map lives as long as what is returned.

    Raises:
        BadWeights: no such file, truncated, or one that contradicts itself.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        if path.stat().st_size < _LENGTH.size:
            raise BadWeights(f"{path.name} is no safetensors file: it has fewer than {_LENGTH.size} bytes")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    (length,) = _LENGTH.unpack_from(content)
    if length > MAX_HEADER_BYTES:
        raise BadWeights(f"{path.name} is no safetensors file, or its header of {length} bytes is more than is read")
    base = _LENGTH.size + length
    if base > len(content):
        raise BadWeights(f"{path.name} ends at byte {len(content)}, in the midst of its header of {length} bytes")
    header = _header(path.name, content[_LENGTH.size : base])
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise BadWeights(f"{path.name}: __metadata__ is no object of strings")
    if len(header) > MAX_TENSORS:
        raise BadWeights(f"{path.name}: {len(header)} tensors are more than is read")
    entries = {name: _entry(name, value, base, len(content)) for name, value in header.items()}
    _check_gapless(path.name, entries, base, len(content))
    return SafetensorsFile(entries, content, metadata)


def write_safetensors(
    path: Path,
    shapes: Iterable[tuple[str, Shape]],
    tensors: Iterable[tuple[str, Tensor]],
    dtype: Stored = "F32",
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write a file tensor by tensor, so that memory for one of them is enough.

    Args:
        shapes: names and shapes of all tensors, in the order in which `tensors` hands them out.

    Raises:
        BadWeights: a number is too large for `dtype`.
        OSError: the disk is full, or refuses.
    """
    wanted = dict(shapes)
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    at = 0
    for name, shape in wanted.items():
        size = math.prod(shape) * _DTYPES[dtype].itemsize
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    raw = json.dumps(header, separators=(",", ":")).encode()
    raw += b" " * (-len(raw) % 8)  # so that the tensors are aligned
    order = iter(wanted.items())
    with path.open("xb") as file:
        file.write(_LENGTH.pack(len(raw)))
        file.write(raw)
        for name, tensor in tensors:
            assert next(order) == (name, tuple(tensor.shape)), f"{name} is not the tensor that comes next"
            file.write(as_stored(name, tensor, dtype).numpy().data)
        assert next(order, None) is None, "some tensors are left out"


def as_stored(name: str, tensor: Tensor, dtype: Stored) -> Tensor:
    """The tensor in a number format, in one piece.

    Raises:
        BadWeights: a number is too large for it.
    """
    stored = tensor.detach().to(_DTYPES[dtype]).contiguous()
    if dtype != "F32" and not bool(stored.isfinite().all()):
        raise BadWeights(f"tensor {name!r} holds a number that is too large for {dtype}")
    return stored


def _header(file_name: str, raw: bytes) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, value in pairs:
            if name in found:
                raise BadWeights(f"{file_name}: the name {name[:200]!r} stands in the header twice")
            found[name] = value
        return found

    try:
        header = json.loads(raw, object_pairs_hook=unique)
    except BadWeights:
        raise
    except (ValueError, RecursionError) as error:
        raise BadWeights(f"{file_name}: its header is no JSON: {str(error)[:200]}") from error
    if not isinstance(header, dict):
        raise BadWeights(f"{file_name}: its header is no object")
    return header


def _entry(name: str, value: object, base: int, file_size: int) -> TensorEntry:
    shown = f"tensor {name[:200]!r}"
    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise BadWeights(f"{shown}: dtype, shape and data_offsets are expected, and nothing else")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str):
        raise BadWeights(f"{shown}: its dtype is no string")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS:
        raise BadWeights(f"{shown}: its shape is no list of at most {MAX_DIMENSIONS} sizes")
    if 0 in shape:
        raise BadWeights(f"{shown}: the shape {tuple(shape)} holds no number")
    if not _are_counts(offsets) or len(offsets) != 2:
        raise BadWeights(f"{shown}: its data_offsets are no pair of byte positions")
    start, end = base + offsets[0], base + offsets[1]
    if not start <= end <= file_size:
        raise BadWeights(f"{shown}: its bytes {start} to {end} are not within the file's {file_size}")
    if dtype in _DTYPES and math.prod(shape) * _DTYPES[dtype].itemsize != end - start:
        raise BadWeights(f"{shown}: {end - start} bytes are not those of the shape {tuple(shape)} in {dtype}")
    return TensorEntry(name, tuple(shape), dtype, start, end - start)


def _are_counts(values: object) -> bool:
    """Whether it is a list of whole numbers from 0 to 2**63 - 1."""
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 1 << 63 for value in values)


def _check_gapless(file_name: str, entries: Mapping[str, TensorEntry], base: int, file_size: int) -> None:
    at = base
    for entry in sorted(entries.values(), key=lambda entry: (entry.start, entry.size_bytes)):
        if entry.start != at:
            how = "lies over another one" if entry.start < at else "leaves a gap before it"
            raise BadWeights(f"tensor {entry.name[:200]!r} {how}")
        at += entry.size_bytes
    if at != file_size:
        raise BadWeights(f"{file_name}: {file_size - at} bytes at its end belong to no tensor")
