"""The wire of POST /embeddings: rows of a model's tables, what lies near them, and how they lie in a plane."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field

from app.schemas.base import In, Out, Text, an_example
from app.schemas.tokenizer import IdList

MAX_NEIGHBOURS = 100
MAX_SEED = 2**63 - 1
_ROWS_A_PIECE = 64

Rows = npt.NDArray[np.float32]


class EmbeddingsIn(In):
    """Rows of a model's tables, or of `nn.Embedding(vocab_size, output_dim)` made after `torch.manual_seed(seed)`."""

    model_config = an_example(vocab_size=6, output_dim=3, seed=123, ids=[2, 3, 5, 1])

    model: str | None = Field(None, description="A model or `job_id@step`; omitted, without a layer: the default one.")
    vocab_size: int | None = Field(None, ge=1, le=1 << 20, description="Of a fresh layer; else its tokenizer's.")
    output_dim: int | None = Field(None, ge=1, le=1 << 16, description="Of a fresh layer.")
    context_length: int | None = Field(None, ge=1, le=1 << 20, description="Of a fresh layer: positions.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of a fresh layer; omitted: drawn, and returned.")
    tokenizer: str | None = Field(None, description="Of a fresh layer; omitted: the default one, if there is text.")
    ids: IdList | None = Field(None, description="Rows to show; with neither ids nor text: all.")
    text: Text | None = Field(None, description="In place of ids.")
    positions: bool = Field(False, description="The rows of the position table for them, and the sums of both.")
    neighbours: int | None = Field(None, ge=1, le=MAX_NEIGHBOURS, description="Nearest by cosine, for each row.")
    project: bool = Field(False, description="The rows in the plane of their first two principal components.")


class TableOut(Out):
    shape: list[int]
    vectors: list[list[float | None]]


class NeighbourOut(Out):
    id: int
    text: str | None
    score: float = Field(description="Cosine.")


class ProjectionOut(Out):
    points: list[list[float]] = Field(description="x and y of each row.")
    explained: list[float] = Field(description="Shares of all variance along x and along y.")


class EmbeddingsOut(Out):
    model: str | None = Field(description="Null for a fresh layer.")
    seed: int | None
    ids: list[int]
    texts: list[str] | None = Field(description="Each id's text; null without a tokenizer.")
    neighbours: list[list[NeighbourOut]] | None
    projection: ProjectionOut | None
    shape: list[int]
    vectors: list[list[float | None]] = Field(description="Exact float32 values; null where one is no number.")
    positions: TableOut | None
    sums: TableOut | None


def written(head: dict[str, Any], token: Rows, position: Rows | None, total: Rows | None) -> Iterator[bytes]:
    """An EmbeddingsOut in pieces of some rows each."""
    yield json.dumps(head)[:-1].encode() + b","
    yield from _table(token)
    for name, rows in ((b"positions", position), (b"sums", total)):
        yield b',"' + name + b'":'
        if rows is None:
            yield b"null"
        else:
            yield b"{"
            yield from _table(rows)
            yield b"}"
    yield b"}"


def _table(rows: Rows) -> Iterator[bytes]:
    yield f'"shape":{list(rows.shape)},"vectors":['.encode()
    for start in range(0, len(rows), _ROWS_A_PIECE):
        piece = ",".join(map(_row, rows[start : start + _ROWS_A_PIECE]))
        yield ("," + piece if start else piece).encode()
    yield b"]"


def _row(row: Rows) -> str:
    """Nine digits tell every float32 from every other."""
    numbers = list(map("{:.9g}".format, row.tolist()))
    if not np.isfinite(row).all():
        numbers = ["null" if "n" in number else number for number in numbers]  # nan, inf, -inf
    return f"[{','.join(numbers)}]"
