"""The weight formats of GGUF files to float32: plain numbers, blocks of 32 small integers that share a scale, and
"K" blocks of 256, in which groups of 16 or 32 have small scales of their own.

A few passes of NumPy over a whole tensor: faster than the `gguf` package and equal to it bit for bit. One thread,
as there is more memory to write than arithmetic to do.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from app.llm.errors import BadWeights
from app.llm.weights.gguf_file import TensorEntry

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def dequantise(content: mmap.mmap, entry: TensorEntry) -> Floats:
    """The tensor that `entry` tells of, of the entry's shape, in memory of its own.

    Raises:
        BadWeights: its kind is not read, or it holds NaN or infinity.
    """
    if entry.kind not in _KINDS:
        known = ", ".join(kind.name for kind in _KINDS)
        raise BadWeights(f"tensor {entry.name!r} is {entry.kind.name}, which is not read; {known} are")
    stored = np.frombuffer(content, np.uint8, entry.size_bytes, entry.start)
    blocks = stored.reshape(-1, GGML_QUANT_SIZES[entry.kind][1])  # (blocks, bytes of each)
    with np.errstate(over="ignore", invalid="ignore"):
        values = _KINDS[entry.kind](blocks)
        if not np.isfinite(values.sum()):  # one NaN or infinity takes the sum with it
            raise BadWeights(f"tensor {entry.name!r} holds NaN or infinity")
    return values.reshape(entry.shape)


def _f32(blocks: Bytes) -> Floats:
    return blocks.view(np.float32).copy()


def _f16(blocks: Bytes) -> Floats:
    return blocks.view(np.float16).astype(np.float32)


def _bf16(blocks: Bytes) -> Floats:
    """The upper halves of float32 numbers."""
    return (blocks.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _q8_0(blocks: Bytes) -> Floats:
    """A scale of 16 bits, then 32 signed bytes: value = byte · scale."""
    return np.multiply(blocks[:, 2:].view(np.int8), _halves(blocks[:, :2]), dtype=np.float32)  # (N, 32)


def _q4_0(blocks: Bytes) -> Floats:
    """A scale, then 16 bytes of two numbers each: value = (number - 8) · scale."""
    values = _nibbles(blocks[:, 2:])  # (N, 32)
    values -= 8
    values *= _halves(blocks[:, :2])
    return values


def _q4_1(blocks: Bytes) -> Floats:
    """A scale and a minimum, then 16 bytes of two numbers each: value = number · scale + minimum."""
    shared, values = _halves(blocks[:, :4]), _nibbles(blocks[:, 4:])  # (N, 2), (N, 32)
    values *= shared[:, :1]
    values += shared[:, 1:]
    return values


def _q4_k(blocks: Bytes) -> Floats:
    """A scale and a minimum for all, 8 scales and minima of 6 bits each, then 128 bytes of two numbers each.

    value = number · (scale · small scale) - minimum · small minimum
    """
    shared = _halves(blocks[:, :4])  # (N, 2)
    low, high, rest = blocks[:, 4:8], blocks[:, 8:12], blocks[:, 12:16]  # (N, 4) each: 12 bytes hold 16 × 6 bits
    scales = np.concatenate((low & 63, (rest & 15) | ((low >> 2) & 48)), axis=1)  # (N, 8)
    minima = np.concatenate((high & 63, (rest >> 4) | ((high >> 2) & 48)), axis=1)
    pairs = blocks[:, 16:].reshape(-1, 4, 1, 32)  # low halves are one group of 32, high halves the next
    values = np.concatenate((pairs & 15, pairs >> 4), axis=2).reshape(-1, 8, 32).astype(np.float32)
    values *= (shared[:, :1] * scales)[:, :, None]
    values -= (shared[:, 1:] * minima)[:, :, None]
    return values


def _q6_k(blocks: Bytes) -> Floats:
    """128 bytes of low halves, 64 of upper pairs of bits, 16 signed scales, and one for all.

    value = (number - 32) · (scale · small scale)
    """
    halves = blocks[:, :128].reshape(-1, 2, 1, 64)
    low = np.concatenate((halves & 15, halves >> 4), axis=2).reshape(-1, 8, 32)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array([0, 2, 4, 6], np.uint8).reshape(1, 1, 4, 1)
    numbers = low | (high.reshape(-1, 8, 32) & 3) << 4  # (N, 8, 32), 0..63
    scales = _halves(blocks[:, 208:]) * blocks[:, 192:208].view(np.int8)  # (N, 16)
    values: Floats = numbers.reshape(-1, 16, 16).astype(np.float32)
    values -= 32
    values *= scales[:, :, None].astype(np.float32)
    return values


def _halves(stored: Bytes) -> Floats:
    """Bytes (N, 2 n) as 16-bit numbers (N, n)."""
    return np.ascontiguousarray(stored).view(np.float16).astype(np.float32)


def _nibbles(stored: Bytes) -> Floats:
    """Bytes (N, 16) as numbers 0..15 (N, 32): the low halves of all bytes, then the high ones."""
    values: npt.NDArray[Any] = np.empty((len(stored), 32), np.float32)
    values[:, :16] = stored & 15
    values[:, 16:] = stored >> 4
    return values


_KINDS: dict[GGMLQuantizationType, Callable[[Bytes], Floats]] = {
    GGMLQuantizationType.F32: _f32,
    GGMLQuantizationType.F16: _f16,
    GGMLQuantizationType.BF16: _bf16,
    GGMLQuantizationType.Q8_0: _q8_0,
    GGMLQuantizationType.Q4_0: _q4_0,
    GGMLQuantizationType.Q4_1: _q4_1,
    GGMLQuantizationType.Q4_K: _q4_k,
    GGMLQuantizationType.Q6_K: _q6_k,
}
