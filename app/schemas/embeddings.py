"""The wire of POST /embeddings and /embeddings/analogy: rows of a model's tables, what lies near, how they lie."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from app.schemas.base import In, Out, Text, an_example
from app.schemas.tokenizer import IdList

MAX_NEIGHBOURS = 100
MAX_PROJECTED = 2048
MAX_TERMS = 16
MAX_TERM_CHARACTERS = 200
MAX_SEED = 2**63 - 1
_ROWS_A_PIECE = 64

Rows = npt.NDArray[np.float32]


class FrequentIn(In):
    """The tokens that a dataset has most of."""

    dataset: str
    column: str | None = Field(None, description="Of rows, the one to count in; omitted: the one that is plainly text.")
    count: int = Field(200, ge=1, le=MAX_PROJECTED, description="So many of them, the most frequent first.")


class EmbeddingsIn(In):
    """Rows of a model's tables, or of `nn.Embedding(vocab_size, output_dim)` made after `torch.manual_seed(seed)`."""

    model_config = an_example(vocab_size=6, output_dim=3, seed=123, ids=[2, 3, 5, 1])

    model: str | None = Field(None, description="A model or `job_id@step`; omitted, without a layer: the default one.")
    vocab_size: int | None = Field(None, ge=1, le=1 << 20, description="Of a fresh layer; else its tokenizer's.")
    output_dim: int | None = Field(None, ge=1, le=1 << 16, description="Of a fresh layer.")
    context_length: int | None = Field(None, ge=1, le=1 << 20, description="Of a fresh layer: positions.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="Of a fresh layer; omitted: drawn, and returned.")
    tokenizer: str | None = Field(None, description="Of a fresh layer; omitted: the default one, if there is text.")
    ids: IdList | None = Field(None, description="Rows to show; with neither ids, text nor frequent: all.")
    text: Text | None = Field(None, description="In place of ids.")
    frequent: FrequentIn | None = Field(None, description="In place of ids.")
    table: Literal["tokens", "positions"] = Field(
        "tokens", description="`positions`: rows of that table in place of the tokens'; `ids` are places from 0 on."
    )
    vectors: bool = Field(True, description="Whether the rows themselves are told.")
    positions: bool = Field(False, description="The rows of the position table for them, and the sums of both.")
    neighbours: int | None = Field(None, ge=1, le=MAX_NEIGHBOURS, description="Nearest by cosine, for each row.")
    project: bool = Field(False, description="The rows along their first principal components.")
    axes: Literal[2, 3] | None = Field(None, description="Of `project`: a plane or a space; omitted: a plane.")


class TableOut(Out):
    shape: list[int]
    vectors: list[list[float | None]]


class NeighbourOut(Out):
    id: int
    text: str | None
    score: float = Field(description="Cosine.")


class ProjectionOut(Out):
    points: list[list[float]] = Field(description="x and y of each row, and z in a space.")
    explained: list[float] = Field(description="Shares of all variance along each axis.")


class CountedOut(Out):
    """What `frequent` counted."""

    dataset: str
    column: str | None
    tokens: int
    sampled: bool = Field(description="Parts of the dataset stand for all of it.")


class EmbeddingsOut(Out):
    model: str | None = Field(description="Null for a fresh layer.")
    seed: int | None
    ids: list[int]
    texts: list[str] | None = Field(description="Each id's text; null without a tokenizer, and of positions.")
    counts: list[int] | None = Field(description="With `frequent`: how often each token was counted.")
    counted: CountedOut | None
    neighbours: list[list[NeighbourOut]] | None
    projection: ProjectionOut | None
    shape: list[int]
    vectors: list[list[float | None]] | None = Field(
        description="Exact float32 values, null where one is no number; null altogether where `vectors` is false."
    )
    positions: TableOut | None
    sums: TableOut | None


Term = Annotated[Text, Field(min_length=1, max_length=MAX_TERM_CHARACTERS)]


class AnalogyIn(In):
    """Vectors added and taken away: king - man + woman."""

    model_config = an_example(plus=[" king", " woman"], minus=[" man"])

    model: str | None = Field(None, description="A model or `job_id@step`; omitted: the default one.")
    plus: list[Term] = Field(min_length=1, max_length=MAX_TERMS, description="A space before a word belongs to it.")
    minus: list[Term] = Field(default_factory=list, max_length=MAX_TERMS)
    neighbours: int = Field(10, ge=1, le=MAX_NEIGHBOURS)


class TermOut(Out):
    text: str
    sign: Literal[1, -1]
    ids: list[int]
    texts: list[str] = Field(description="Of several tokens the mean of their vectors counts.")


class AnalogyOut(Out):
    object: Literal["analogy"] = "analogy"
    model: str
    terms: list[TermOut]
    neighbours: list[NeighbourOut] = Field(description="Of the sum; tokens of the terms are left out.")


def written(head: dict[str, Any], token: Rows | None, position: Rows | None, total: Rows | None) -> Iterator[bytes]:
    """An EmbeddingsOut in pieces of some rows each; `head` has all but the tables."""
    yield json.dumps(head)[:-1].encode()
    if token is None:
        yield b',"vectors":null'
    else:
        yield b","
        yield from _vectors(token)
    for name, rows in ((b"positions", position), (b"sums", total)):
        yield b',"' + name + b'":'
        if rows is None:
            yield b"null"
        else:
            yield f'{{"shape":{list(rows.shape)},'.encode()
            yield from _vectors(rows)
            yield b"}"
    yield b"}"


def _vectors(rows: Rows) -> Iterator[bytes]:
    yield b'"vectors":['
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
