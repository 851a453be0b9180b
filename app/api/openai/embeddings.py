"""POST /v1/embeddings: texts or token ids to vectors."""

from __future__ import annotations

import base64

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, TooLarge
from app.schemas.openai import EmbeddingIn, EmbeddingListOut, EmbeddingOut, EmbeddingUsage
from app.services.text_vectors import embed

router = APIRouter(prefix="/v1", tags=["openai"])


@router.post(
    "/embeddings",
    response_model=EmbeddingListOut,
    responses=refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, NotReady),
)
async def create_embeddings(body: EmbeddingIn, runtime: RuntimeDep) -> Response:
    """The mean of each input's final states, of length 1. Not trained for retrieval."""
    found = await embed(runtime, body)
    data = [
        EmbeddingOut(
            index=index,
            embedding=base64.b64encode(row.astype("<f4").tobytes()).decode()
            if body.encoding_format == "base64"
            else row.tolist(),
        )
        for index, row in enumerate(found.rows)
    ]
    usage = EmbeddingUsage(prompt_tokens=found.prompt_tokens, total_tokens=found.prompt_tokens)
    answer = EmbeddingListOut(data=data, model=found.model_name, usage=usage)
    return Response(answer.model_dump_json(), media_type="application/json")
