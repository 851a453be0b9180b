"""POST /embeddings: the vectors of tokens and of positions."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.pieces import LONG, LongWorkDep, answer
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, TokenizerNotFound, TooLarge
from app.schemas.embeddings import EmbeddingsIn, EmbeddingsOut, written
from app.services import embeddings

router = APIRouter(tags=["data"])

_REFUSALS = refusals(ModelNotFound, CheckpointNotFound, TokenizerNotFound, TooLarge, DataMissing, NotReady)


@router.post("/embeddings", response_model=EmbeddingsOut, responses=_REFUSALS)
async def look_up(body: EmbeddingsIn, runtime: RuntimeDep, long_work: LongWorkDep) -> Response:
    """Rows of a model's token and position tables, or of a fresh layer's; their neighbours; a plane through them."""
    tables = await embeddings.open_model(runtime, body)

    def begin() -> Iterator[bytes]:
        found = embeddings.look_up(runtime, body, tables)
        return written(found.about, found.token, found.position, found.total)

    is_long = body.ids is None or len(body.ids) * 64 > LONG or body.neighbours is not None or body.project
    return await answer(begin, is_long=is_long or tables is None, long_work=long_work)
