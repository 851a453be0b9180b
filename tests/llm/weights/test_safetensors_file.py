"""Safetensors: read as the library reads them, written as it reads them, and every lie in a header refused by name."""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from app.llm.errors import BadWeights
from app.llm.weights.safetensors_file import open_safetensors, write_safetensors


def raw(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(shape: object, start: object, end: object, dtype: object = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_what_the_library_writes_is_read(tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = {"a": torch.randn(3, 5).to(dtype), "b.c": torch.randn(7).to(dtype)}
    save_file(tensors, tmp_path / "x.safetensors", {"format": "pt"})
    file = open_safetensors(tmp_path / "x.safetensors")
    assert file.metadata == {"format": "pt"}
    for name, tensor in tensors.items():
        got = file.read(name)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, tensor.float(), rtol=0, atol=0)


def test_a_header_of_an_odd_length(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    content = raw({"t": entry([3], 0, 12)}, torch.tensor([1.0, 2.0, 3.0]).numpy().tobytes())
    (length,) = struct.unpack_from("<Q", content)
    path.write_bytes(struct.pack("<Q", length + 1) + content[8 : 8 + length] + b" " + content[8 + length :])
    assert open_safetensors(path).read("t").tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("dtype", ["F32", "F16"])
def test_what_is_written_the_library_reads(tmp_path: Path, dtype: Any) -> None:
    tensors = {"a": torch.randn(3, 4).t(), "b": torch.randn(5)}
    path = tmp_path / "x.safetensors"
    write_safetensors(path, [(n, tuple(t.shape)) for n, t in tensors.items()], iter(tensors.items()), dtype)
    for name, tensor in load_file(path).items():
        torch.testing.assert_close(tensor, tensors[name].to(tensor.dtype), rtol=0, atol=0)


def test_a_number_too_large_for_16_bits_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadWeights, match=r"'a'.*too large for F16"):
        write_safetensors(tmp_path / "x.safetensors", [("a", (1,))], [("a", torch.tensor([1e9]))], "F16")


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    save_file({"a": torch.randn(4, 4), "b": torch.randn(3)}, tmp_path / "x.safetensors")
    content, cut = (tmp_path / "x.safetensors").read_bytes(), tmp_path / "cut.safetensors"
    for length in range(len(content)):
        cut.write_bytes(content[:length])
        with pytest.raises(BadWeights):
            open_safetensors(cut)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "fewer than 8 bytes"),
        (struct.pack("<Q", 1 << 60), "is more than is read"),
        (struct.pack("<Q", 2**64 - 1) + b"{}", "is more than is read"),
        (struct.pack("<Q", 100) + b"{}", "in the midst of its header of 100"),
        (raw(b"[]"), "no object"),
        (raw(b"{"), "no JSON"),
        (raw(b"\xff\xfe{}"), "no JSON"),
        (raw(b"[" * 100_000), "no JSON"),
        (raw(b'{"t": ' + b"9" * 5000 + b"}"), "no JSON"),
        (raw({"t": 3}), "'t': dtype, shape and data_offsets"),
        (raw({"t": {"dtype": "F32", "shape": []}}), "'t': dtype, shape and data_offsets"),
        (raw({"t": entry([4], 0, 16) | {"more": 1}}, bytes(16)), "and nothing else"),
        (raw({"t": entry([4], 0, 16, dtype=3)}, bytes(16)), "'t': its dtype is no string"),
        (raw({"t": entry([-4], 0, 16)}, bytes(16)), "'t': its shape"),
        (raw({"t": entry([True], 0, 4)}, bytes(4)), "'t': its shape"),
        (raw({"t": entry([1.0], 0, 4)}, bytes(4)), "'t': its shape"),
        (raw({"t": entry([1] * 9, 0, 4)}, bytes(4)), "'t': its shape"),
        (raw({"t": entry("4", 0, 16)}, bytes(16)), "'t': its shape"),
        (raw({"t": entry([1 << 62, 1 << 62], 0, 16)}, bytes(16)), "'t': 16 bytes are not those of the shape"),
        (raw({"t": entry([4], 0, 16, dtype="F16")}, bytes(16)), "'t': 16 bytes are not those of .* F16"),
        (raw({"t": entry([4], 0, 1 << 50)}, bytes(16)), "'t': its bytes .* not within"),
        (raw({"t": entry([4], 16, 0)}, bytes(16)), "'t': its bytes .* not within"),
        (raw({"t": entry([4], -16, 0)}, bytes(16)), "'t': its data_offsets"),
        (raw({"t": entry([4], "0", 16)}, bytes(16)), "'t': its data_offsets"),
        (raw({"t": entry([4], 0, 16), "u": entry([4], 8, 24)}, bytes(24)), "'u' lies over"),
        (raw({"t": entry([4], 0, 16), "u": entry([4], 0, 16)}, bytes(16)), "'u' lies over"),
        (raw({"t": entry([4], 4, 20)}, bytes(20)), "'t' leaves a gap"),
        (raw({"t": entry([4], 0, 16)}, bytes(20)), "4 bytes at its end"),
        (raw(b'{"t": %s, "t": %s}' % ((json.dumps(entry([1], 0, 4)).encode(),) * 2), bytes(4)), "'t' stands .* twice"),
        (raw({"__metadata__": {"a": 1}}), "__metadata__"),
        (raw({"__metadata__": 5}), "__metadata__"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(BadWeights, match=message):
        open_safetensors(path)
    assert time.monotonic() - started < 2


def test_a_number_format_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(raw({"t": entry([4], 0, 4, dtype="I8")}, bytes(4)))
    with pytest.raises(BadWeights, match="'t' is I8, which is not read; F64, F32, F16, BF16 are"):
        open_safetensors(path).read("t")


numbers = st.integers(-2, 40) | st.sampled_from([1 << 31, 1 << 63, 1 << 64, True, None, 1.5, "4"])
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "F16", "BF16", "F64", "I64", "", 0, None]),
        "shape": st.lists(numbers, max_size=5) | numbers,
        "data_offsets": st.lists(numbers, min_size=1, max_size=3) | numbers,
    }
)
headers = st.dictionaries(st.text(max_size=3) | st.just("__metadata__"), entries | numbers, max_size=4)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=headers, data=st.binary(max_size=48), noise=st.binary(max_size=4))
def test_any_header_is_read_or_refused(tmp_path: Path, header: dict[str, Any], data: bytes, noise: bytes) -> None:
    path = tmp_path / "any.safetensors"
    text = json.dumps(header).encode() + noise
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    try:
        file = open_safetensors(path)
    except BadWeights:
        return
    for name, found in file.tensors.items():  # then it is whole
        if found.dtype != "I64" and found.dtype and found.size_bytes:
            assert tuple(file.read(name).shape) == found.shape
