"""The container: what the gguf package writes is read, and a file that lies is refused, quickly, whatever the lie."""

from __future__ import annotations

import random
import struct
import time
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType, GGUFValueType

from app.llm.errors import BadWeights
from app.llm.weights.gguf_file import MAX_HEADER_BYTES, MAX_ITEMS, TensorEntry, open_gguf

SCALARS = {
    GGUFValueType.UINT8: 200,
    GGUFValueType.INT8: -100,
    GGUFValueType.UINT16: 60_000,
    GGUFValueType.INT16: -30_000,
    GGUFValueType.UINT32: 4_000_000_000,
    GGUFValueType.INT32: -2_000_000_000,
    GGUFValueType.FLOAT32: 0.5,
    GGUFValueType.BOOL: True,
    GGUFValueType.UINT64: 1 << 63,
    GGUFValueType.INT64: -(1 << 62),
    GGUFValueType.FLOAT64: 0.1,
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A file with a value of every kind, lists, and three tensors."""
    path = tmp_path / "written.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    for kind, value in SCALARS.items():
        writer.add_key_value(f"a.{kind.name.lower()}", value, kind)
    writer.add_string("a.string", "σ — 🌊")
    writer.add_array("a.strings", ["one", "two words", "🌊"])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.floats", [0.5, -1.5])
    writer.add_tensor("first", np.arange(6, dtype=np.float32).reshape(2, 3))
    writer.add_tensor("second", np.arange(4, dtype=np.float16))
    writer.add_tensor("third", np.zeros((2, 34), np.uint8), raw_dtype=GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_values_of_every_kind_are_read(written: Path) -> None:
    values = open_gguf(written).values
    assert values == {
        "general.architecture": "llama",
        **{f"a.{kind.name.lower()}": value for kind, value in SCALARS.items()},
        "a.string": "σ — 🌊",
        "a.strings": ["one", "two words", "🌊"],
        "a.numbers": [1, -2, 3],
        "a.floats": [0.5, -1.5],
    }


def test_tensors_are_found_where_the_gguf_package_finds_them(written: Path) -> None:
    found = open_gguf(written).tensors
    expected = {
        tensor.name: TensorEntry(
            tensor.name,
            tuple(int(size) for size in reversed(tensor.shape)),
            tensor.tensor_type,
            int(tensor.data_offset),
            int(tensor.n_bytes),
        )
        for tensor in gguf.GGUFReader(written).tensors
    }
    assert found == expected
    assert found["first"].shape == (2, 3)
    assert found["third"].shape == (2, 32)


def test_every_truncation_is_refused(written: Path, tmp_path: Path) -> None:
    content, cut = written.read_bytes(), tmp_path / "cut.gguf"
    for length in range(open_gguf(written).tensors["third"].start + 67):
        cut.write_bytes(content[:length])
        with pytest.raises(BadWeights):
            open_gguf(cut)
    cut.write_bytes(content[: open_gguf(written).tensors["third"].start + 68])  # only padding is gone
    open_gguf(cut)


def test_changed_bytes_are_read_or_refused_and_never_hang(written: Path, tmp_path: Path) -> None:
    content, changed = written.read_bytes(), tmp_path / "changed.gguf"
    chance, refused = random.Random(6), 0
    for _ in range(1500):
        raw = bytearray(content)
        for _ in range(chance.randint(1, 4)):
            raw[chance.randrange(4, len(raw))] = chance.choice([0, 1, 8, 9, 127, 255, chance.randrange(256)])
        changed.write_bytes(raw)
        started = time.monotonic()
        try:
            open_gguf(changed)
        except BadWeights:
            refused += 1
        assert time.monotonic() - started < 5
    assert refused > 200


def text(content: str) -> bytes:
    return struct.pack("<Q", len(content.encode())) + content.encode()


def row(name: str, shape: tuple[int, ...], offset: int, kind: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def header(*parts: bytes, values: int = 0, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, values) + b"".join(parts)


def one(kind: int, *parts: bytes) -> bytes:
    """A file with one key-value."""
    return header(text("k"), struct.pack("<I", kind), *parts, values=1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(60), "no GGUF"),
        (b"GGUF", "ends at byte 4"),
        (b"GGUF" + struct.pack("<I", 1) + bytes(60), "version 1"),
        (b"GGUF" + struct.pack(">I", 3) + bytes(60), "version 50331648"),
        (header(tensors=1 << 60), "more than is read"),
        (header(values=1 << 60), "more than is read"),
        (header(values=3), "ends at byte 24"),
        (header(struct.pack("<Q", 1 << 62), values=1), "a string of 4611686018427387904 bytes"),
        (one(13, bytes(8)), "13 is no kind"),
        (one(9, struct.pack("<IQ", 6, 1 << 61)), "k: a list of 2305843009213693952"),
        (one(9, struct.pack("<IQ", 6, 1 << 21)), "ends at byte"),
        (one(9, struct.pack("<IQ", 8, 1 << 21), bytes(80)), "ends at byte"),
        (one(9, struct.pack("<IQ", 9, 2), bytes(80)), "kind 9 is not read"),
        (one(8, struct.pack("<Q", 2), b"\xff\xfe"), "no UTF-8"),
        (header(*[text("k") + struct.pack("<II", 4, 1)] * 2, values=2), "'k' stands there twice"),
        (header(text("general.alignment") + struct.pack("<II", 4, 0), values=1), "0 is no alignment"),
        (header(text("general.alignment"), struct.pack("<I", 8), text("x"), values=1), "'x' is no alignment"),
        (header(row("t", (1,) * 5, 0), bytes(64), tensors=1), "5 dimensions"),
        (header(text("t") + struct.pack("<I", 1 << 31), bytes(64), tensors=1), "2147483648 dimensions"),
        (header(row("t", (4,), 0, kind=77), bytes(64), tensors=1), "not known, 77"),
        (header(row("t", (0, 4), 0), bytes(64), tensors=1), "shape"),
        (header(row("t", (33,), 0, kind=8), bytes(99), tensors=1), "blocks of 32"),
        (header(row("t", (1 << 63,) * 4, 0), bytes(64), tensors=1), "misplaced"),
        (header(row("t", (4,), 1 << 63), bytes(64), tensors=1), "misplaced"),
        (header(row("t", (4,), 3), bytes(64), tensors=1), "misplaced"),
        (header(row("t", (64,), 0), bytes(64), tensors=1), "misplaced"),
        (header(row("t", (4,), 0), row("t", (4,), 32), bytes(99), tensors=2), "'t' stands there twice"),
        (header(row("t", (16,), 0), row("u", (4,), 32), bytes(99), tensors=2), "'u' lies over another"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    started = time.monotonic()
    with pytest.raises(BadWeights, match=message):
        open_gguf(path)
    assert time.monotonic() - started < 1


def lists(*counts: int) -> bytes:
    """A header of lists of bytes, so many of each."""
    parts = [text(f"k{n}") + struct.pack("<IIQ", 9, 0, count) + bytes(count) for n, count in enumerate(counts)]
    return header(*parts, values=len(counts))


def test_lists_are_counted_together(tmp_path: Path) -> None:
    path = tmp_path / "lists.gguf"
    path.write_bytes(lists(MAX_ITEMS // 2, MAX_ITEMS // 2))
    assert len(open_gguf(path).values) == 2
    path.write_bytes(lists(MAX_ITEMS // 2, MAX_ITEMS // 2, 1))
    with pytest.raises(BadWeights, match="k2: a list of 1 is more than is read"):
        open_gguf(path)


def test_a_header_has_an_end(tmp_path: Path) -> None:
    path = tmp_path / "long.gguf"
    with path.open("wb") as file:
        file.write(header(text("k"), struct.pack("<IQ", 8, MAX_HEADER_BYTES), values=1))
        file.truncate(MAX_HEADER_BYTES + 4096)
    with pytest.raises(BadWeights, match=f"goes beyond the {MAX_HEADER_BYTES} of a header"):
        open_gguf(path)


def test_a_file_that_is_not_there_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_gguf(tmp_path / "none.gguf")
