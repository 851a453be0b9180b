"""POST /inspect: one forward pass of a model, opened."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api import held
from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, QueueFull, TooLarge
from app.schemas.inspect import InspectIn, InspectOut
from app.services.inspection import prepare

router = APIRouter(tags=["inspect"])

_REFUSALS = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, QueueFull, NotReady)


@router.post("/inspect", response_model=InspectOut, responses=_REFUSALS)
async def inspect(body: InspectIn, request: Request, runtime: RuntimeDep, places: held.PlacesDep) -> Response:
    """What a model makes of a text inside: embeddings, attention, residual stream, logit lens, losses, logits.

    What is too large is refused before it is computed. A client that hangs up ends the work.
    """
    inspection = await prepare(runtime, body)
    return await held.answer(inspection.open, request, places, runtime.settings.max_queued_requests)
