"""The container of GGUF files: key-values and a table of tensors, found without reading the tensors themselves.

The layout is llama.cpp's (github.com/ggml-org/ggml, docs/gguf.md), versions 2 and 3: header, key-values, table,
padding, tensors. Every count, length and offset is checked against the file before it is believed. Knows nothing of
networks or tokenizers.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from app.llm.errors import BadWeights

MAX_ENTRIES = 1 << 16  # key-values, or tensors
MAX_ITEMS = 1 << 21  # of all lists: some twice the tokens, types, scores and merges of the largest vocabulary in use
MAX_HEADER_BYTES = (
    1 << 26
)  # some four times the header of such a file; in memory a string may take four times its bytes
MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_LETTERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SCALARS = {kind: struct.Struct(f"<{letter}") for kind, letter in _LETTERS.items()}
_U32, _U64 = _SCALARS[4], _SCALARS[10]


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """Where a tensor lies: its shape (outermost dimension first), kind, and the bytes of the file that hold it."""

    name: str
    shape: tuple[int, ...]
    kind: GGMLQuantizationType
    start: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GGUFFile:
    """An open file: its key-values, its table of tensors, and its bytes, mapped into memory (a private map)."""

    values: Mapping[str, Any]
    tensors: Mapping[str, TensorEntry]
    content: mmap.mmap


def open_gguf(path: Path) -> GGUFFile:
    """Read the header of a file and map the rest. The map lives as long as what is returned.

    Raises:
        BadWeights: no GGUF file, truncated, or one that contradicts itself.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        if path.stat().st_size == 0:
            raise BadWeights("the file is empty")
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    reader = _Reader(content)
    try:
        values, tensors = reader.header()
    except (struct.error, OverflowError) as error:  # how struct says that the file ends in the midst of a number
        raise BadWeights(f"the file ends at byte {len(content)}, in the midst of its header") from error
    return GGUFFile(values, tensors, content)


class _Reader:
    """Walks the header from its first byte to its last."""

    def __init__(self, content: mmap.mmap) -> None:
        self._content, self._at, self._size = content, 0, len(content)
        self._items_left = MAX_ITEMS

    def header(self) -> tuple[dict[str, Any], dict[str, TensorEntry]]:
        if self._content[:4] != b"GGUF":
            raise BadWeights("no GGUF file: it does not begin with GGUF")
        self._at = 4
        version = self._number(_U32)
        if version not in (2, 3):
            raise BadWeights(f"GGUF version {version} is not read, only 2 and 3 are")
        tensor_count, value_count = self._number(_U64), self._number(_U64)
        if max(tensor_count, value_count) > MAX_ENTRIES:
            raise BadWeights(f"{tensor_count} tensors and {value_count} key-values are more than is read")
        values: dict[str, Any] = {}
        for _ in range(value_count):
            key = self._string()
            if key in values:
                raise BadWeights(f"the key {key!r} stands there twice")
            values[key] = self._value(key, self._number(_U32))
        return values, self._table(tensor_count, values.get("general.alignment", 32))

    def _table(self, count: int, alignment: object) -> dict[str, TensorEntry]:
        if not isinstance(alignment, int) or not 8 <= alignment <= 1 << 20 or alignment % 8:
            raise BadWeights(f"general.alignment: {alignment!r} is no alignment")
        rows = [self._table_row() for _ in range(count)]
        base = -(-self._at // alignment) * alignment  # the tensors begin at the next multiple
        entries: dict[str, TensorEntry] = {}
        for name, shape, kind, offset in rows:
            if name in entries:
                raise BadWeights(f"the tensor {name!r} stands there twice")
            entry = TensorEntry(name, shape, kind, base + offset, _size_bytes(name, shape, kind))
            if offset % alignment or entry.start + entry.size_bytes > self._size:
                where = f"its {entry.size_bytes} bytes at {entry.start}"
                raise BadWeights(f"tensor {name!r}: {where} are misplaced in a file of {self._size}")
            entries[name] = entry
        _check_apart(entries)
        return entries

    def _table_row(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name, dimensions = self._string(), self._number(_U32)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise BadWeights(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._number(_U64) for _ in range(dimensions))[::-1]  # the file has the innermost first
        number = self._number(_U32)
        try:
            kind = GGMLQuantizationType(number)
        except ValueError as error:
            raise BadWeights(f"tensor {name!r} is of a kind that is not known, {number}") from error
        return name, shape, kind, self._number(_U64)

    def _value(self, key: str, kind: int) -> Any:
        if kind == _STRING:
            return self._string()
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind != _ARRAY:
            raise BadWeights(f"{key}: {kind} is no kind of value")
        item_kind, count = self._number(_U32), self._number(_U64)
        if count > self._items_left:
            raise BadWeights(f"{key}: a list of {count} is more than is read, of all lists together {MAX_ITEMS}")
        self._items_left -= count
        if item_kind == _STRING:
            return self._strings(count)
        if item_kind not in _SCALARS:
            raise BadWeights(f"{key}: a list of kind {item_kind} is not read")
        numbers = struct.Struct(f"<{count}{_SCALARS[item_kind].format[1:]}")
        found = list(numbers.unpack_from(self._content, self._at))
        self._at += numbers.size
        return found

    def _number(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self._content, self._at)
        self._at += layout.size
        return value

    def _string(self) -> str:
        return self._strings(1)[0]

    def _strings(self, count: int) -> list[str]:
        """The next strings: length, then UTF-8. A vocabulary has a hundred thousand, so the loop is a tight one."""
        content, at, size, length_at = self._content, self._at, self._size, _U64.unpack_from
        most = min(size, MAX_HEADER_BYTES)
        found = []
        for _ in range(count):
            (length,) = length_at(content, at)
            at += 8
            if length > most - at:
                where = f"the file's {size}" if length > size - at else f"the {most} of a header that is read"
                raise BadWeights(f"a string of {length} bytes at byte {at} goes beyond {where}")
            try:
                found.append(content[at : at + length].decode())
            except UnicodeDecodeError as error:
                raise BadWeights(f"the string at byte {at} is no UTF-8") from error
            at += length
        self._at = at
        return found


def _size_bytes(name: str, shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    values, size = GGML_QUANT_SIZES[kind]  # of one block
    if 0 in shape or shape[-1] % values:
        raise BadWeights(f"tensor {name!r}: the shape {shape} does not divide into blocks of {values} values")
    return math.prod(shape) // values * int(size)


def _check_apart(entries: Mapping[str, TensorEntry]) -> None:
    end = 0
    for entry in sorted(entries.values(), key=lambda entry: entry.start):
        if entry.start < end:
            raise BadWeights(f"tensor {entry.name!r} lies over another one")
        end = entry.start + entry.size_bytes
