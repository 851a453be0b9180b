"""/v1/completions, /v1/chat/completions, /v1/embeddings: bodies that were checked here, answers as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response

from app.api.answering import opened, whole
from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.remote.deps import REFUSALS, RemoteDep
from app.errors import TooLarge
from app.schemas.openai import ChatIn, ChatOut, CompletionIn, CompletionOut, EmbeddingIn, EmbeddingListOut
from app.schemas.openai_base import OpenAIIn
from app.services import tokens
from app.services.remote import Remote

router = APIRouter(prefix="/v1", tags=["openai"])

_RESPONSES = refusals(TooLarge) | REFUSALS


@router.post("/completions", response_model=CompletionOut, responses=_RESPONSES)
async def create_completion(body: CompletionIn, request: Request, runtime: RuntimeDep, remote: RemoteDep) -> Response:
    """Continue prompts (texts or token ids). A client that hangs up ends the work."""
    texts = [each for each in body.prompt if isinstance(each, str)]
    tokens.check_size(texts, runtime.settings.max_text_bytes, param="prompt")
    fields = _said(body) | {"prompt": _one_alone(body.prompt)}
    return await _relayed(remote, "/completions", fields, request, is_stream=body.stream)


@router.post("/chat/completions", response_model=ChatOut, responses=_RESPONSES)
async def create_chat_completion(body: ChatIn, request: Request, runtime: RuntimeDep, remote: RemoteDep) -> Response:
    """Answer a conversation. A client that hangs up ends the work."""
    tokens.check_size([each.text for each in body.messages], runtime.settings.max_text_bytes, param="messages")
    return await _relayed(remote, "/chat/completions", _said(body), request, is_stream=body.stream)


@router.post("/embeddings", response_model=EmbeddingListOut, responses=_RESPONSES)
async def create_embeddings(body: EmbeddingIn, request: Request, runtime: RuntimeDep, remote: RemoteDep) -> Response:
    """The vectors that the remote server's model gives to texts or token ids."""
    texts = [each for each in body.input if isinstance(each, str)]
    tokens.check_size(texts, runtime.settings.max_text_bytes, param="input")
    fields = _said(body) | {"input": _one_alone(body.input)}
    return await _relayed(remote, "/embeddings", fields, request, is_stream=False)


async def _relayed(remote: Remote, path: str, fields: dict[str, Any], request: Request, *, is_stream: bool) -> Response:
    """The remote's answer as it comes. What it refuses is refused before a stream opens."""
    if not is_stream:
        return await whole(request, lambda: remote.ask("POST", path, fields))
    stream = remote.stream(path, fields)
    return await opened(request, stream.accepted(), stream.events(), stream.close)


def _said(body: OpenAIIn) -> dict[str, Any]:
    """What the client said; what it left out is the remote's to choose."""
    return body.model_dump(mode="json", exclude_unset=True)


def _one_alone(inputs: Sequence[str | list[int]]) -> str | list[int] | list[str | list[int]]:
    """A single one without its list: there are servers that read no list."""
    return inputs[0] if len(inputs) == 1 else list(inputs)
