"""Tensors as JSON: exact numbers, in bounded pieces, null where JSON has no word."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest

from app.schemas.tensor_json import BYTES_A_PIECE, NUMBERS_A_PIECE, TEXT_A_PIECE, number, tensor


def read(values: np.ndarray, encoding: str) -> dict:
    return json.loads(b"".join(tensor(values, encoding)))


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 3), (2, 1, 3, 4), (0,), (2, 0), (3, NUMBERS_A_PIECE + 5)])
def test_both_encodings_give_every_float32_back(shape: tuple[int, ...]) -> None:
    bits = np.random.default_rng(0).integers(0, 0x7F800000, math.prod(shape), dtype=np.uint32)
    values = (bits | np.random.default_rng(1).integers(0, 2, len(bits), dtype=np.uint32) << 31).view(np.float32)
    values = values.reshape(shape)  # any finite pattern: denormals, huge ones, both signs
    nested = read(values, "json")
    assert (nested["shape"], nested["dtype"]) == (list(shape), "float32")
    assert np.array_equal(np.array(nested["data"], dtype=np.float32).reshape(shape), values)
    packed = read(values, "base64")
    assert (packed["shape"], packed["dtype"]) == (list(shape), "float32")
    assert np.array_equal(np.frombuffer(base64.b64decode(packed["data"], validate=True), "<f4").reshape(shape), values)


def test_what_is_no_finite_number() -> None:
    values = np.array([[1.5, -np.inf], [np.inf, np.nan], [-0.0, 1e-45]], dtype=np.float32)
    assert read(values, "json")["data"] == [[1.5, None], [None, None], [-0.0, pytest.approx(1e-45, rel=0.5)]]
    kept = np.frombuffer(base64.b64decode(read(values, "base64")["data"]), "<f4")
    assert np.array_equal(kept, values.ravel(), equal_nan=True)
    assert [number(value) for value in (0.1, math.nan, math.inf, -math.inf)] == ["0.1", "null", "null", "null"]


def test_a_view_that_lies_apart_in_memory() -> None:
    values = np.arange(24, dtype=np.float32).reshape(4, 6).T[::2]
    for encoding in ("json", "base64"):
        found = read(values, encoding)["data"]
        flat = np.frombuffer(base64.b64decode(found), "<f4") if encoding == "base64" else np.array(found).ravel()
        assert np.array_equal(flat, values.ravel())


@pytest.mark.parametrize(
    ("encoding", "most"), [("json", TEXT_A_PIECE + 20 * NUMBERS_A_PIECE), ("base64", BYTES_A_PIECE * 4 // 3)]
)
def test_pieces_are_bounded(encoding: str, most: int) -> None:
    pieces = list(tensor(np.full((5, 400_000), -1.17549435e-38, dtype=np.float32), encoding))
    assert max(map(len, pieces)) <= most
    assert len(pieces) > 20
