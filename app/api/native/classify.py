"""POST /classify: the classes of texts."""

from __future__ import annotations

from anyio import to_thread
from fastapi import APIRouter, Request, Response

from app.api import held
from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, QueueFull, TooLarge
from app.schemas.classify import ClassifyIn, ClassifyOut
from app.services import classification

router = APIRouter(tags=["generate"])

_REFUSALS = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, QueueFull)


@router.post("/classify", response_model=ClassifyOut, responses=_REFUSALS)
async def classify(body: ClassifyIn, request: Request, runtime: RuntimeDep, places: held.PlacesDep) -> Response:
    """Which class each text is of, how sure that is, and on request which of its tokens had it said so.

    A client that hangs up ends the work.
    """
    question = await to_thread.run_sync(classification.prepare, runtime, body)
    return await held.answer(question.answer, request, places, runtime.settings.max_queued_requests)
