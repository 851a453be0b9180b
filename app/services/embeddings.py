"""POST /embeddings: rows of the token and position tables of a model or of a fresh layer, and what they tell.

Sizes are judged before anything is drawn, looked up or compared. Knows no HTTP.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from app.errors import ContextLengthExceeded, DataMissing, InvalidRequest, TooLarge, WrongModel
from app.llm.errors import LLMError
from app.llm.tokenizer.base import Tokenizer
from app.schemas.embeddings import EmbeddingsIn, Rows
from app.services import model_files, tokens
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime

if TYPE_CHECKING:  # torch takes a second to import
    from torch import Tensor

MAX_NUMBERS = 1 << 20  # of all rows of an answer
MAX_DRAWN = 1 << 26  # numbers of a fresh layer: 256 MiB
MAX_COMPARED = 256  # rows whose neighbours are looked for in one call
MAX_PROJECTED = 2048
DRAWN_SEEDS = 2**31  # a number that every client can hold

Pair = tuple["Tensor", "Tensor | None"]  # (V, E), (context_length, E)

_OF_A_LAYER = ("vocab_size", "output_dim", "context_length", "seed", "tokenizer")


@dataclass(frozen=True)
class Tables:
    """The vectors of a model's tokens, and those of its positions if it has such: how many, and the way to them."""

    name: str | None
    seed: int | None
    vocab_size: int
    width: int
    positions: int | None
    """Rows of the table of positions; None where there is none."""
    tokenizer: Tokenizer | None = field(repr=False)
    opened: Callable[[], AbstractContextManager[Pair]] = field(repr=False)
    """The tables themselves, while they are computed with; a model's are read first if need be."""


@dataclass(frozen=True)
class Found:
    """The answer: what is said of the rows, and the rows themselves, (N, E) each."""

    about: dict[str, Any]
    token: Rows
    position: Rows | None
    total: Rows | None


async def open_model(runtime: Runtime, body: EmbeddingsIn) -> Tables | None:
    """The tables of the model that is asked for, loaded if need be; None where a fresh layer is.

    Raises:
        InvalidRequest: fields of a model and of a layer are mixed, or `ids` with `text`.
        TooLarge: more text than one call may bring.
        ModelNotFound, CheckpointNotFound, DataMissing, NotReady: as `Models.wait_for`.
    """
    given = [name for name in _OF_A_LAYER if getattr(body, name) is not None]
    if body.model is not None and given:
        raise InvalidRequest(f"{given[0]}: it is of a fresh layer; {body.model} has its own", param=given[0])
    if body.model is None and given and body.output_dim is None:
        raise InvalidRequest("output_dim: a fresh layer needs it", param="output_dim")
    if body.ids is not None and body.text is not None:
        raise InvalidRequest("give ids or text, not both", param="text")
    if body.text is not None:
        tokens.check_size([body.text], runtime.settings.max_text_bytes)
    if body.output_dim is not None:
        return None
    name = runtime.settings.default_model if body.model is None else body.model
    vectors = await asyncio.to_thread(_word_vectors, runtime, name)
    if vectors is not None:
        return vectors
    model = await runtime.models.wait_for(name)
    config = model.config
    positions = config.context_length if config.position == "learned" else None
    sizes = (config.vocab_size, config.emb_dim, positions)
    return Tables(model.name, None, *sizes, model.tokenizer, lambda: _opened(model))


def look_up(runtime: Runtime, body: EmbeddingsIn, tables: Tables | None) -> Found:
    """The rows of `tables`, or of the fresh layer that `body` asks for. May take a second.

    Raises:
        AppError: what is wrong with it; `param` says which field.
    """
    import torch

    if tables is None:
        tables = _fresh(runtime, body)
    ids, param = _ids(body, tables)
    _check(body, tables, ids, param)
    wanted = torch.tensor(ids, dtype=torch.int64)
    with tables.opened() as (vectors, positions), torch.no_grad():
        token = vectors[wanted].float().cpu()  # (N, E)
        position = total = None
        if body.positions and positions is not None:
            position = positions[: len(ids)].float().cpu()  # (N, E)
            total = token + position
        near = None if body.neighbours is None else _neighbours(tables, vectors, ids, body.neighbours)
    about = {
        "model": tables.name,
        "seed": tables.seed,
        "ids": ids,
        "texts": _texts(tables, ids),
        "neighbours": near,
        "projection": _projection(ids, token) if body.project else None,
    }
    return Found(
        about,
        token.numpy(),
        None if position is None else position.numpy(),
        None if total is None else total.numpy(),
    )


def _word_vectors(runtime: Runtime, name: str) -> Tables | None:
    """The tables of a model of word vectors, mapped from its file; None for a model of another kind."""
    with runtime.database.read() as session:
        place = model_files.find_any(session, runtime.storage, name)
    if model_files.family(place) != "word2vec":
        return None
    from app.llm.checkpoint import load_model
    from app.llm.model.word_vectors import WordVectors

    try:
        network, meta = load_model(place.path)
    except (LLMError, FileNotFoundError) as error:
        raise DataMissing(f"model: the files of {name} cannot be used: {error}", param="model") from error
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, meta.tokenizer, param="model")
    assert isinstance(network, WordVectors), "its family says so"
    table = network.token_embedding.weight.detach()
    if tokenizer.vocab_size != len(table):
        sizes = f"{len(table)} vectors, but its tokenizer {meta.tokenizer} {tokenizer.vocab_size} tokens"
        raise DataMissing(f"model: {name} has {sizes}", param="model")
    vocab_size, width = table.shape
    return Tables(place.name, None, vocab_size, width, None, tokenizer, lambda: nullcontext((table, None)))


def _fresh(runtime: Runtime, body: EmbeddingsIn) -> Tables:
    """A new layer as torch makes it right after `torch.manual_seed(seed)`; torch's own generator is not touched."""
    import torch

    name = body.tokenizer
    if name is None and body.text is not None:
        name = runtime.settings.default_tokenizer
    tokenizer = None
    if name is not None:
        with runtime.database.read() as session:
            tokenizer = runtime.tokenizers.get(session, name)
        if body.vocab_size not in (None, tokenizer.vocab_size):
            told = f"tokenizer {name} has {tokenizer.vocab_size} tokens; leave this out"
            raise InvalidRequest(f"vocab_size: {told}", param="vocab_size")
    vocab_size = body.vocab_size if tokenizer is None else tokenizer.vocab_size
    if vocab_size is None:
        raise InvalidRequest("vocab_size: needed where no tokenizer gives it", param="vocab_size")
    width, positions = body.output_dim or 0, body.context_length or 0
    if (vocab_size + positions) * width > MAX_DRAWN:
        told = f"{(vocab_size + positions) * width:,} numbers are more than the {MAX_DRAWN:,} that are drawn"
        raise TooLarge(f"output_dim: {told}", param="output_dim")
    seed = secrets.randbelow(DRAWN_SEEDS) if body.seed is None else body.seed
    source = torch.Generator().manual_seed(seed)
    token = torch.empty(vocab_size, width).normal_(generator=source)  # (V, E)
    position = torch.empty(positions, width).normal_(generator=source) if positions else None
    sizes = (vocab_size, width, positions or None)
    return Tables(None, seed, *sizes, tokenizer, lambda: nullcontext((token, position)))


@contextmanager
def _opened(model: LoadedModel) -> Iterator[Pair]:
    with model.network.lent() as network, model.gate:
        learned = model.config.position == "learned"
        yield network.token_embedding.weight, network.position_embedding.weight if learned else None


def _ids(body: EmbeddingsIn, tables: Tables) -> tuple[list[int], str]:
    """The rows asked for, and the field that says so."""
    vocab_size = tables.vocab_size
    if body.text is not None:
        assert tables.tokenizer is not None, "models have one, and a layer for a text, too"
        ids = tokens.encode(tables.tokenizer, body.text, parse_special=False)
        if not ids:
            raise InvalidRequest("text: there is no token in it", param="text")
        return ids, "text"
    if body.ids is not None:
        if not body.ids:
            raise InvalidRequest("ids: give at least one, or leave them out for all", param="ids")
        tokens.check_ids(body.ids, vocab_size)
        return body.ids, "ids"
    if vocab_size * tables.width > MAX_NUMBERS:
        told = f"a table of {vocab_size:,} rows of {tables.width:,} is too long for one answer"
        raise TooLarge(f"ids: {told}; name the rows to show", param="ids")
    return list(range(vocab_size)), "ids"


def _check(body: EmbeddingsIn, tables: Tables, ids: list[int], param: str) -> None:
    numbers = len(ids) * tables.width * (3 if body.positions else 1)
    if numbers > MAX_NUMBERS:
        told = f"{len(ids):,} rows have {numbers:,} numbers, more than the {MAX_NUMBERS:,} of one answer"
        raise TooLarge(f"{param}: {told}", param=param)
    if body.positions and tables.positions is None:
        if tables.name is None:
            raise InvalidRequest("positions: give the layer a context_length", param="positions")
        told = f"{tables.name} has no table of positions (word vectors and rotary positions have none)"
        raise WrongModel(f"positions: {told}", param="positions")
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


def _neighbours(tables: Tables, table: Tensor, ids: list[int], count: int) -> list[list[dict[str, Any]]]:
    import torch

    from app.llm.vectors import nearest

    distinct = sorted(set(ids))
    found, scores = nearest(table, torch.tensor(distinct), count)
    by_id = {
        token_id: [
            {"id": each, "text": _text(tables, each), "score": round(score, 6)}
            for each, score in zip(near, cosines, strict=True)
        ]
        for token_id, near, cosines in zip(distinct, found.tolist(), scores.tolist(), strict=True)
    }
    return [by_id[token_id] for token_id in ids]


def _projection(ids: list[int], token: Tensor) -> dict[str, Any]:
    """The plane is laid through each row once, however often it is asked for."""
    from app.llm.vectors import principal_plane

    first = {token_id: place for place, token_id in reversed(list(enumerate(ids)))}
    plane = principal_plane(token[list(first.values())].nan_to_num())
    points = dict(zip(first, plane.points.tolist(), strict=True))
    return {"points": [points[token_id] for token_id in ids], "explained": plane.explained.tolist()}


def _texts(tables: Tables, ids: list[int]) -> list[str] | None:
    tokenizer = tables.tokenizer
    return None if tokenizer is None else [tokens.text_of(tokenizer, token_id) for token_id in ids]


def _text(tables: Tables, token_id: int) -> str | None:
    return None if tables.tokenizer is None else tokens.text_of(tables.tokenizer, token_id)
