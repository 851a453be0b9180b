"""POST /v1/completions: prompts continued, or scored, as OpenAI's clients ask for it."""

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
from app.schemas.openai import CompletionChoice, CompletionIn, CompletionLogprobs, CompletionOut
from app.services.completions import Completion, prepare_completion
from app.services.transcript import GeneratedToken

router = APIRouter(prefix="/v1", tags=["openai"])

_RESPONSES = refusals(ModelNotFound, CheckpointNotFound, TooLarge, DataMissing, QueueFull, NotReady)


@router.post("/completions", response_model=CompletionOut, responses=_RESPONSES)
async def create_completion(body: CompletionIn, request: Request, runtime: RuntimeDep) -> Response:
    """Continue prompts (texts or token ids). A client that hangs up ends the work."""
    completion = await prepare_completion(runtime, body)
    generation = completion.generation
    generation.start()
    if body.stream:
        return EventStreamResponse(frames(_chunks(completion, body)), closing(request, generation))
    return await whole(request, lambda: _collected(completion, body), closing(request, generation))


async def _collected(completion: Completion, body: CompletionIn) -> str:
    written = completion.best(await completion.generation.collect(), body.n)
    choices = []
    for index, choice in enumerate(written):
        place = completion.prompt_of(choice.index)
        start = completion.texts[place] if body.echo else ""
        logprobs = None
        if body.logprobs is not None:
            logprobs = _prompt_logprobs(completion, choice.index) if body.echo else _no_logprobs()
            _add(logprobs, choice.tokens, len(start), body.logprobs)
        text = start + choice.text
        choices.append(CompletionChoice(text=text, index=index, logprobs=logprobs, finish_reason=choice.finish_reason))
    return _answer(completion, choices, with_usage=True).model_dump_json()


async def _chunks(completion: Completion, body: CompletionIn) -> AsyncIterator[str]:
    with_usage = body.stream_options is not None and body.stream_options.include_usage
    dropped = {} if with_usage else {"usage"}  # with usage, all chunks have the field
    begun: dict[int, int] = {}  # characters of each choice so far
    async for step in completion.generation.progress():
        text, logprobs = "", None if body.logprobs is None else _no_logprobs()
        if step.index not in begun:
            begun[step.index] = 0
            if body.echo:
                text = completion.texts[completion.prompt_of(step.index)]
                logprobs = logprobs and _prompt_logprobs(completion, step.index)
        if step.token is not None:
            if logprobs is not None:
                _add(logprobs, [step.token], begun[step.index] + len(text), body.logprobs or 0)
            text += step.token.text
        begun[step.index] += len(text)
        choice = CompletionChoice(text=text, index=step.index, logprobs=logprobs, finish_reason=step.finish_reason)
        yield _answer(completion, [choice]).model_dump_json(exclude=set(dropped))
    if with_usage:
        yield _answer(completion, [], with_usage=True).model_dump_json()


def _answer(completion: Completion, choices: list[CompletionChoice], *, with_usage: bool = False) -> CompletionOut:
    generation = completion.generation
    usage = UsageOut.model_validate(generation.usage) if with_usage else None
    return CompletionOut(
        id=generation.id, created=generation.created, model=generation.model_name, choices=choices, usage=usage
    )


def _no_logprobs() -> CompletionLogprobs:
    return CompletionLogprobs(tokens=[], token_logprobs=[], top_logprobs=[], text_offset=[])


def _add(logprobs: CompletionLogprobs, tokens: Iterable[GeneratedToken], offset: int, count: int) -> None:
    """Note tokens that were drawn, the first of them `offset` characters into the text."""
    for token in tokens:
        name = token_name(bytes(token.bytes))
        top = [(token_name(bytes(each.bytes)), each.logprob) for each in token.top[:count]]
        logprobs.tokens.append(name)
        logprobs.token_logprobs.append(token.logprob)
        logprobs.top_logprobs.append(_by_name([*top, (name, token.logprob)]))
        logprobs.text_offset.append(offset)
        offset += len(token.text)


def _prompt_logprobs(completion: Completion, choice: int) -> CompletionLogprobs:
    """What the model thought of the choice's prompt."""
    logprobs = _no_logprobs()
    tokenizer = completion.model.tokenizer
    stream, offset = tokenizer.stream(), 0
    for scored in completion.generation.prompt_scores.get(choice, ()):
        name = token_name(tokenizer.token_bytes(scored.token_id))
        top = [(token_name(tokenizer.token_bytes(each.token_id)), each.logprob) for each in scored.top]
        logprobs.tokens.append(name)
        logprobs.token_logprobs.append(scored.logprob)
        is_first = scored.logprob is None
        logprobs.top_logprobs.append(None if is_first else _by_name([*top, (name, scored.logprob or 0.0)]))
        logprobs.text_offset.append(offset)
        offset += len(stream.push(scored.token_id))
    return logprobs


def _by_name(pairs: list[tuple[str, float]]) -> dict[str, float]:
    """The likeliest token's number, where two have one name."""
    found: dict[str, float] = {}
    for name, logprob in pairs:
        found.setdefault(name, logprob)
    return found
