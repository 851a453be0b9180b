"""POST /generate: a text continued, as one answer or token by token."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response

from app.api.answering import whole
from app.api.deps import RuntimeDep
from app.api.errors import Responses, refusals
from app.api.limiting import closing
from app.api.sse import EventStreamResponse, frames
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, QueueFull, TooLarge
from app.schemas.generate import (
    BegunTokenOut,
    ChoiceOut,
    GeneratedTokenOut,
    GenerateEvent,
    GenerateIn,
    GenerateOut,
    UsageOut,
)
from app.services.continuation import Continuation
from app.services.generation import prepare

router = APIRouter(tags=["generate"])

_EVENT_SCHEMA = GenerateEvent.model_json_schema(ref_template="#/components/schemas/{model}")
_EVENT_SCHEMA.pop("$defs")  # an answer that is not streamed is made of the same parts
STREAMED: Responses = {
    200: {
        "description": "The continuations; with `stream`, one event a token, then `[DONE]`.",
        "content": {"text/event-stream": {"schema": _EVENT_SCHEMA}},
    }
}
"""The OpenAPI entry of an answer that may be a stream."""
_RESPONSES = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, QueueFull, NotReady) | STREAMED


@router.post("/generate", response_model=GenerateOut, responses=_RESPONSES)
async def generate(body: GenerateIn, request: Request, runtime: RuntimeDep) -> Response:
    """Continue a prompt or answer a conversation. A client that hangs up ends the work."""
    generation = await prepare(runtime, body)
    generation.start()
    if body.stream:
        return EventStreamResponse(frames(events(generation)), closing(request, generation))
    return await whole(request, lambda: collected(generation), closing(request, generation))


async def collected(generation: Continuation) -> str:
    """All of it as one answer."""
    choices = [ChoiceOut.model_validate(choice) for choice in await generation.collect()]
    answer = GenerateOut(
        id=generation.id,
        model=generation.model_name,
        created=generation.created,
        choices=choices,
        usage=_usage(generation),
        seed=generation.seed,
        begun=_begun(generation),
        logits=None if generation.logits is None else b64encode(generation.logits).decode(),
        prompt_ids=None if generation.logits is None else list(generation.prompt_ids),
    )
    return answer.model_dump_json()


async def events(generation: Continuation) -> AsyncIterator[str]:
    """One event a token; what is not said is left out of the JSON."""
    begun = _begun(generation)
    async for step in generation.progress():
        event = GenerateEvent(index=step.index)
        if begun:
            event.begun, begun = begun, []
        if step.token is not None:
            event.token = GeneratedTokenOut.model_validate(step.token)
        if step.finish_reason is not None:
            event.finish_reason = step.finish_reason
        if step.is_last:
            event.id, event.model, event.created = generation.id, generation.model_name, generation.created
            event.usage, event.seed = _usage(generation), generation.seed
        yield event.model_dump_json(exclude_unset=True)


def _begun(generation: Continuation) -> list[BegunTokenOut]:
    return [BegunTokenOut.model_validate(token) for token in generation.begun]


def _usage(generation: Continuation) -> UsageOut | None:
    return None if generation.usage is None else UsageOut.model_validate(generation.usage)
