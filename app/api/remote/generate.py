"""POST /generate, written by a remote server."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from app.api.answering import opened, whole
from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.limiting import closing
from app.api.native.generate import STREAMED, collected, events
from app.api.remote.deps import REFUSALS, RemoteDep
from app.errors import TooLarge
from app.schemas.generate import GenerateIn, GenerateOut
from app.services.remote_generation import prepare

router = APIRouter(tags=["generate"])


@router.post("/generate", response_model=GenerateOut, responses=refusals(TooLarge) | REFUSALS | STREAMED)
async def generate(body: GenerateIn, request: Request, runtime: RuntimeDep, remote: RemoteDep) -> Response:
    """Continue a prompt or answer a conversation. A client that hangs up ends the work."""
    generation = await prepare(runtime, remote, body)
    generation.start()
    if not body.stream:
        return await whole(request, lambda: collected(generation), closing(request, generation))
    return await opened(request, generation.accepted(), events(generation), closing(request, generation))
