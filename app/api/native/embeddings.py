"""/embeddings: the vectors of tokens and of positions, and sums of them."""

from __future__ import annotations

from collections.abc import Iterator

from anyio import to_thread
from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.pieces import LONG, LongWorkDep, answer
from app.errors import (
    CheckpointNotFound,
    DataMissing,
    DatasetNotFound,
    ModelNotFound,
    NotReady,
    TokenizerNotFound,
    TooLarge,
)
from app.schemas.embeddings import AnalogyIn, AnalogyOut, EmbeddingsIn, EmbeddingsOut, written
from app.services import analogy, embeddings, vector_tables

router = APIRouter(tags=["data"])

_REFUSALS = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, NotReady)


@router.post(
    "/embeddings",
    response_model=EmbeddingsOut,
    responses=_REFUSALS | refusals(TokenizerNotFound, DatasetNotFound),
)
async def look_up(body: EmbeddingsIn, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """Rows of a model's token and position tables, or of a fresh layer's; neighbours; a plane or a space of them."""
    tables = await embeddings.open_model(runtime, body)

    def begin() -> Iterator[bytes]:
        found = embeddings.look_up(runtime, body, tables)
        return written(found.about, found.token, found.position, found.total)

    is_long = body.ids is None or len(body.ids) * 64 > LONG or body.neighbours is not None or body.project
    return await answer(begin, is_long=is_long or tables is None, long_work=long_work)


@router.post("/embeddings/analogy", responses=_REFUSALS)
async def solve_analogy(body: AnalogyIn, runtime: RuntimeDep, long_work: LongWorkDep) -> AnalogyOut:
    """The tokens that lie where vectors added and taken away point to: king - man + woman."""
    tables = await vector_tables.of_model(runtime, body.model)
    return await to_thread.run_sync(analogy.solve, body, tables, limiter=long_work)
