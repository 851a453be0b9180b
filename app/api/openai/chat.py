"""POST /v1/chat/completions: a conversation answered, as OpenAI's clients ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable

from fastapi import APIRouter, Request, Response

from app.api.answering import whole
from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.limiting import closing
from app.api.openai.words import token_name
from app.api.sse import EventStreamResponse, frames
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, NotReady, QueueFull, TooLarge
from app.schemas.generate import UsageOut
from app.schemas.openai import (
    AssistantMessage,
    ChatChoice,
    ChatChunk,
    ChatIn,
    ChatLogprobs,
    ChatOut,
    ChunkChoice,
    Delta,
    TokenLogprob,
    TopLogprob,
)
from app.services.completions import Conversation, prepare_chat
from app.services.transcript import GeneratedToken

router = APIRouter(prefix="/v1", tags=["openai"])

_RESPONSES = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, QueueFull, NotReady)


@router.post("/chat/completions", response_model=ChatOut, responses=_RESPONSES)
async def create_chat_completion(body: ChatIn, request: Request, runtime: RuntimeDep) -> Response:
    """Answer a conversation. A client that hangs up ends the work."""
    conversation = await prepare_chat(runtime, body)
    generation = conversation.generation
    generation.start()
    if body.stream:
        return EventStreamResponse(frames(_chunks(conversation, body)), closing(request, generation))
    return await whole(request, lambda: _collected(conversation, body), closing(request, generation))


async def _collected(conversation: Conversation, body: ChatIn) -> str:
    generation = conversation.generation
    choices = [
        ChatChoice(
            index=choice.index,
            message=AssistantMessage(content=choice.text),
            logprobs=_logprobs(choice.tokens) if body.logprobs else None,
            finish_reason=choice.finish_reason,
        )
        for choice in await generation.collect()
    ]
    return ChatOut(
        id=generation.id,
        created=generation.created,
        model=generation.model_name,
        choices=choices,
        usage=UsageOut.model_validate(generation.usage),
    ).model_dump_json()


async def _chunks(conversation: Conversation, body: ChatIn) -> AsyncIterator[str]:
    """First who speaks, then a chunk a token, then why it ended."""
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    begun: set[int] = set()
    async for step in conversation.generation.progress():
        if step.index not in begun:
            begun.add(step.index)
            first = ChunkChoice(index=step.index, delta=Delta(role="assistant", content=""))
            yield _chunk(conversation, [first], with_usage=with_usage)
        if step.token is not None and (step.token.text or body.logprobs):
            logprobs = _logprobs([step.token]) if body.logprobs else None
            choice = ChunkChoice(index=step.index, delta=Delta(content=step.token.text), logprobs=logprobs)
            yield _chunk(conversation, [choice], with_usage=with_usage)
        if step.finish_reason is not None:
            last = ChunkChoice(index=step.index, delta=Delta(), finish_reason=step.finish_reason)
            yield _chunk(conversation, [last], with_usage=with_usage)
    if with_usage:
        yield _chunk(conversation, [], with_usage=True)


def _chunk(conversation: Conversation, choices: list[ChunkChoice], *, with_usage: bool) -> str:
    generation = conversation.generation
    chunk = ChatChunk(id=generation.id, created=generation.created, model=generation.model_name, choices=choices)
    if with_usage and not choices:
        chunk.usage = UsageOut.model_validate(generation.usage)
    no_nulls = {"choices": {"__all__": {"delta": {name for name in ("role", "content") if _is_unsaid(choices, name)}}}}
    return chunk.model_dump_json(exclude=no_nulls | ({} if with_usage else {"usage": True}))


def _is_unsaid(choices: list[ChunkChoice], name: str) -> bool:
    return all(getattr(choice.delta, name) is None for choice in choices)


def _logprobs(tokens: Iterable[GeneratedToken]) -> ChatLogprobs:
    content = [
        TokenLogprob(
            token=token_name(bytes(token.bytes)),
            logprob=token.logprob,
            bytes=token.bytes,
            top_logprobs=[
                TopLogprob(token=token_name(bytes(each.bytes)), logprob=each.logprob, bytes=each.bytes)
                for each in token.top
            ],
        )
        for token in tokens
    ]
    return ChatLogprobs(content=content)
