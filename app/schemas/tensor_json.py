"""The JSON of a tensor, written piece by piece: nested lists, or base64 of its bytes."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Encoding = Literal["json", "base64"]

BYTES_A_PIECE = 3 * 32 * 1024  # of the tensor; a multiple of 3, so that pieces of base64 join without padding
NUMBERS_A_PIECE = 8192  # some milliseconds, in which no other thread runs
TEXT_A_PIECE = 64 * 1024


def tensor(values: NDArray[np.float32], encoding: Encoding) -> Iterator[bytes]:
    """A TensorOut. Nested lists give nine digits, which is each float32 exactly, and null for what is not finite."""
    values = np.ascontiguousarray(values, dtype="<f4")
    head = f'{{"shape":{json.dumps(values.shape)},"dtype":"float32","data":'
    if encoding == "base64":
        yield head.encode() + b'"'
        raw = values.reshape(-1).view(np.uint8)
        for start in range(0, len(raw), BYTES_A_PIECE):
            yield base64.b64encode(raw[start : start + BYTES_A_PIECE].tobytes())
        yield b'"}'
    else:
        yield head.encode()
        yield from gathered(_nested(values))
        yield b"}"


def number(value: float) -> str:
    """A number with nine digits; null where JSON has no word for it."""
    return _null_for_words(f"{value:.9g}")


def gathered(texts: Iterator[str]) -> Iterator[bytes]:
    """Short texts joined to pieces that are worth sending."""
    held: list[str] = []
    size = 0
    for text in texts:
        held.append(text)
        size += len(text)
        if size >= TEXT_A_PIECE:
            yield "".join(held).encode()
            held, size = [], 0
    yield "".join(held).encode()


def _nested(values: NDArray[Any]) -> Iterator[str]:
    yield "["
    if values.ndim > 1:
        for index, inner in enumerate(values):
            if index:
                yield ","
            yield from _nested(inner)
    else:
        for start in range(0, len(values), NUMBERS_A_PIECE):
            piece = values[start : start + NUMBERS_A_PIECE].tolist()
            text = ("%.9g," * len(piece)) % tuple(piece)
            yield _null_for_words(text if start + NUMBERS_A_PIECE < len(values) else text[:-1])
    yield "]"


def _null_for_words(text: str) -> str:
    return text.replace("-inf", "null").replace("inf", "null").replace("nan", "null")
