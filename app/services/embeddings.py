"""POST /embeddings: rows of the token and position tables of a model or of a fresh layer, and what they tell.

Sizes are judged before anything is drawn, looked up or compared. Knows no HTTP.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.errors import ContextLengthExceeded, InvalidRequest, TooLarge, WrongModel
from app.schemas.embeddings import MAX_PROJECTED, EmbeddingsIn, FrequentIn, Rows
from app.services import datasets, frequent_tokens, tokens, vector_tables
from app.services.dataset_texts import source_of
from app.services.frequent_tokens import Frequent
from app.services.runtime import Runtime
from app.services.vector_tables import Layer, Tables

if TYPE_CHECKING:  # torch takes a second to import
    from torch import Tensor

MAX_NUMBERS = 1 << 20  # of all rows of an answer
MAX_COMPARED = 256  # rows whose neighbours are looked for in one call
DRAWN_SEEDS = 2**31  # a number that every client can hold

_OF_A_LAYER = ("vocab_size", "output_dim", "context_length", "seed", "tokenizer")
_ROWS = ("ids", "text", "frequent")


@dataclass(frozen=True)
class Found:
    """The answer: what is said of the rows, and the rows themselves, (N, E) each, as far as they are told."""

    about: dict[str, Any]
    token: Rows | None
    position: Rows | None
    total: Rows | None


@dataclass(frozen=True)
class Chosen:
    """The rows asked for, the field that says so, and how often each token stands in what was counted."""

    ids: list[int]
    param: str
    frequent: Frequent | None = None
    counted: dict[str, Any] | None = None


async def open_model(runtime: Runtime, body: EmbeddingsIn) -> Tables | None:
    """The tables of the model that is asked for, loaded if need be; None where a fresh layer is.

    Raises:
        InvalidRequest: fields that do not go together.
        TooLarge: more text than one call may bring.
        AppError: as `vector_tables.of_model`.
    """
    given = [name for name in _OF_A_LAYER if getattr(body, name) is not None]
    if body.model is not None and given:
        raise InvalidRequest(f"{given[0]}: it is of a fresh layer; {body.model} has its own", param=given[0])
    if body.model is None and given and body.output_dim is None:
        raise InvalidRequest("output_dim: a fresh layer needs it", param="output_dim")
    rows = [name for name in _ROWS if getattr(body, name) is not None]
    if len(rows) > 1:
        raise InvalidRequest(f"give {' or '.join(rows)}, not both", param=rows[-1])
    if body.axes is not None and not body.project:
        raise InvalidRequest("axes: they are of a projection; ask for it with project", param="axes")
    if body.positions and not body.vectors:
        raise InvalidRequest("positions: they are vectors, which are not to be told", param="positions")
    if body.table == "positions":
        odd = next((name for name in ("text", "frequent") if name in rows), "positions" if body.positions else None)
        if odd is not None:
            raise InvalidRequest(f"{odd}: the table of positions has places from 0 on as its rows", param=odd)
    if body.text is not None:
        tokens.check_size([body.text], runtime.settings.max_text_bytes)
    if body.output_dim is not None:
        return None
    return await vector_tables.of_model(runtime, body.model)


def look_up(runtime: Runtime, body: EmbeddingsIn, tables: Tables | None) -> Found:
    """The rows of `tables`, or of the fresh layer that `body` asks for. May take a second.

    Raises:
        AppError: what is wrong with it; `param` says which field.
    """
    import torch

    if tables is None:
        tables = vector_tables.fresh(runtime, _layer(runtime, body))
    _check_positions(body, tables)
    chosen = _chosen(runtime, body, tables)
    ids = chosen.ids
    _check(body, tables, chosen)
    with tables.opened() as pair, torch.no_grad():
        table, positions = pair
        if body.table == "positions":
            assert positions is not None, "seen to be there"
            table = positions
        rows = table[torch.tensor(ids, dtype=torch.int64)].float().cpu()  # (N, E)
        position = positions[: len(ids)].float().cpu() if body.positions and positions is not None else None  # (N, E)
        near = None if body.neighbours is None else _neighbours(body, tables, table, ids)
    about = {
        "model": tables.name,
        "seed": tables.seed,
        "ids": ids,
        "texts": None if body.table == "positions" else _texts(tables, ids),
        "counts": chosen.frequent and chosen.frequent.counts,
        "counted": chosen.counted,
        "neighbours": near,
        "projection": _projection(ids, rows, body.axes or 2) if body.project else None,
        "shape": list(rows.shape),
    }
    if not body.vectors:
        return Found(about, None, None, None)
    if position is None:
        return Found(about, rows.numpy(), None, None)
    return Found(about, rows.numpy(), position.numpy(), (rows + position).numpy())


def _layer(runtime: Runtime, body: EmbeddingsIn) -> Layer:
    tokenizer = body.tokenizer
    if tokenizer is None and (body.text is not None or body.frequent is not None):
        tokenizer = runtime.settings.default_tokenizer
    seed = secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed
    return Layer(body.output_dim or 0, seed, body.vocab_size, body.context_length, tokenizer)


def _check_positions(body: EmbeddingsIn, tables: Tables) -> None:
    """Pass a body that asks for positions where there are such."""
    if tables.positions is not None or not (body.positions or body.table == "positions"):
        return
    param = "positions" if body.positions else "table"
    if tables.name is None:
        raise InvalidRequest(f"{param}: give the layer a context_length", param=param)
    told = f"{tables.name} has no table of positions (word vectors and rotary positions have none)"
    raise WrongModel(f"{param}: {told}", param=param)


def _chosen(runtime: Runtime, body: EmbeddingsIn, tables: Tables) -> Chosen:
    height = tables.vocab_size if body.table == "tokens" else tables.positions or 0
    if body.text is not None:
        assert tables.tokenizer is not None, "models have one, and a layer for a text, too"
        return Chosen(tokens.encode_some(tables.tokenizer, body.text, "text"), "text")
    if body.frequent is not None:
        return _frequent(runtime, body.frequent, tables)
    if body.ids is not None:
        if not body.ids:
            raise InvalidRequest("ids: give at least one, or leave them out for all", param="ids")
        tokens.check_ids(body.ids, height)
        return Chosen(body.ids, "ids")
    if height * (tables.width if body.vectors else 1) > MAX_NUMBERS:
        told = f"a table of {height:,} rows of {tables.width:,} is too long for one answer"
        raise TooLarge(f"ids: {told}; name the rows to show", param="ids")
    return Chosen(list(range(height)), "ids")


def _frequent(runtime: Runtime, asked: FrequentIn, tables: Tables) -> Chosen:
    assert tables.tokenizer is not None, "models have one, and a layer for a dataset, too"
    with runtime.database.read() as session:  # given back before the long work
        row = datasets.read(session, asked.dataset, "frequent.dataset")
    source = source_of(row, asked.column, "frequent.dataset", "frequent.column")
    found = frequent_tokens.count(runtime.storage, tables.tokenizer, source, asked.count, "frequent.dataset")
    if not found.ids:
        raise InvalidRequest(f"frequent.dataset: there is no token in {row.label}", param="frequent.dataset")
    counted = {"dataset": row.id, "column": source.column, "tokens": found.tokens, "sampled": found.sampled}
    return Chosen(found.ids, "frequent.count", found, counted)


def _check(body: EmbeddingsIn, tables: Tables, chosen: Chosen) -> None:
    ids, param = chosen.ids, chosen.param
    numbers = len(ids) * tables.width * (3 if body.positions else 1) if body.vectors else len(ids)
    if numbers > MAX_NUMBERS:
        told = f"{len(ids):,} rows have {numbers:,} numbers, more than the {MAX_NUMBERS:,} of one answer"
        raise TooLarge(f"{param}: {told}", param=param)
    if body.positions and tables.positions is not None and len(ids) > tables.positions:
        told = f"{len(ids)} tokens are more than the {tables.positions} positions"
        raise ContextLengthExceeded(f"{param}: {told}", param=param)
    distinct = len(set(ids))
    if body.neighbours is not None and distinct > MAX_COMPARED:
        told = f"neighbours are looked for of at most {MAX_COMPARED} rows, not {distinct:,}"
        raise TooLarge(f"neighbours: {told}", param="neighbours")
    if body.project and not 2 <= distinct <= MAX_PROJECTED:
        told = f"a plane is laid through 2 to {MAX_PROJECTED:,} different rows, not {distinct:,}"
        raise InvalidRequest(f"project: {told}", param="project")


def _neighbours(body: EmbeddingsIn, tables: Tables, table: Tensor, ids: list[int]) -> list[list[dict[str, Any]]]:
    import torch

    from app.llm.vectors import nearest

    distinct = sorted(set(ids))
    found, scores = nearest(table, torch.tensor(distinct), body.neighbours or 0)
    by_id = {
        token_id: [
            {"id": each, "text": _text(tables, each) if body.table == "tokens" else None, "score": round(score, 6)}
            for each, score in zip(near, cosines, strict=True)
        ]
        for token_id, near, cosines in zip(distinct, found.tolist(), scores.tolist(), strict=True)
    }
    return [by_id[token_id] for token_id in ids]


def _projection(ids: list[int], rows: Tensor, axes: int) -> dict[str, Any]:
    """The axes are laid through each row once, however often it is asked for."""
    from app.llm.vectors import principal_axes

    first = {token_id: place for place, token_id in reversed(list(enumerate(ids)))}
    found = principal_axes(rows[list(first.values())].nan_to_num(), axes)
    points = dict(zip(first, found.points.tolist(), strict=True))
    return {"points": [points[token_id] for token_id in ids], "explained": found.explained.tolist()}


def _texts(tables: Tables, ids: list[int]) -> list[str] | None:
    tokenizer = tables.tokenizer
    return None if tokenizer is None else [tokens.text_of(tokenizer, token_id) for token_id in ids]


def _text(tables: Tables, token_id: int) -> str | None:
    return None if tables.tokenizer is None else tokens.text_of(tables.tokenizer, token_id)
