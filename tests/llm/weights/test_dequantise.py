"""Blocks of every format that is read, against the gguf package, bit for bit."""

from __future__ import annotations

import mmap

import gguf
import numpy as np
import pytest
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from app.llm.errors import BadWeights
from app.llm.weights.dequantise import dequantise
from app.llm.weights.gguf_file import TensorEntry

READ = ("F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1")


def stored(raw: bytes, kind: GGMLQuantizationType, shape: tuple[int, ...]) -> tuple[mmap.mmap, TensorEntry]:
    """Bytes as they would lie in a file, behind 64 others."""
    content = mmap.mmap(-1, 64 + len(raw))
    content[64:] = raw
    return content, TensorEntry("blk.0.x", shape, kind, 64, len(raw))


@pytest.mark.parametrize("name", READ)
def test_the_bits_are_those_of_the_gguf_package(name: str) -> None:
    kind = GGMLQuantizationType[name]
    values = np.random.default_rng(4).normal(size=(5, 3, 96)).astype(np.float32)
    values[0, 0, :32] = 0.0  # a block whose scale is 0
    quantised = gguf.quantize(values, kind)
    got = dequantise(*stored(quantised.tobytes(), kind, values.shape))
    assert (got.shape, got.dtype) == (values.shape, np.float32)
    np.testing.assert_array_equal(got, gguf.dequantize(quantised, kind))
    np.testing.assert_allclose(got, values, atol=0.5)


@pytest.mark.parametrize("name", ["Q8_0", "Q4_0", "Q4_1"])
def test_any_bytes_mean_what_the_gguf_package_reads(name: str) -> None:
    kind = GGMLQuantizationType[name]
    blocks = np.random.default_rng(5).integers(0, 256, (40, GGML_QUANT_SIZES[kind][1]), np.uint8)
    blocks[:, [1, 3]] &= 0x7B  # scales as numbers, and not NaN or infinity
    got = dequantise(*stored(blocks.tobytes(), kind, (40, 32)))
    np.testing.assert_array_equal(got, gguf.dequantize(blocks, kind))


@pytest.mark.parametrize("name", ["Q4_K", "Q6_K"])
def test_blocks_of_256_mean_what_the_gguf_package_reads(name: str) -> None:
    kind = GGMLQuantizationType[name]
    blocks = np.random.default_rng(7).integers(0, 256, (60, GGML_QUANT_SIZES[kind][1]), np.uint8)
    for high_byte in (1, 3) if name == "Q4_K" else (209,):
        blocks[:, high_byte] &= 0x7B  # scales as numbers, and not NaN or infinity
    got = dequantise(*stored(blocks.tobytes(), kind, (30, 512)))
    assert (got.shape, got.dtype) == ((30, 512), np.float32)
    np.testing.assert_array_equal(got.reshape(60, 256), gguf.dequantize(blocks, kind))
    assert len(np.unique(got)) > 5000


def test_the_tensor_outlives_the_file() -> None:
    content, entry = stored(np.ones(8, np.float32).tobytes(), GGMLQuantizationType.F32, (8,))
    values = dequantise(content, entry)
    content.close()
    assert values.sum() == 8


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["F32", "F16", "Q8_0"])
def test_what_is_no_number_is_refused(name: str, odd: float) -> None:
    kind = GGMLQuantizationType[name]
    raw = np.zeros(34 if name == "Q8_0" else 32 * GGML_QUANT_SIZES[kind][1], np.uint8)
    number = np.array([odd], np.float32 if name == "F32" else np.float16)
    raw[: number.nbytes] = number.view(np.uint8)
    with pytest.raises(BadWeights, match=r"blk\.0\.x.*NaN or infinity"):
        dequantise(*stored(raw.tobytes(), kind, (32,)))


def test_other_formats_are_named() -> None:
    with pytest.raises(
        BadWeights, match=r"'blk\.0\.x' is Q5_K, which is not read; F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q4_K, Q6_K are"
    ):
        dequantise(*stored(bytes(176), GGMLQuantizationType.Q5_K, (256,)))
