"""A prompt, or a conversation, to one or several continuations: every refusal, then text as it is written.

Knows limits, seeds, stop strings and usage; knows no HTTP. What is in `prepare` and `start` is decided before the
first byte of an answer.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, replace

from app.config import Settings
from app.db.base import new_id
from app.errors import ContextLengthExceeded, InvalidRequest, NoChatTemplate, TooLarge
from app.llm.config import SamplingParams
from app.llm.engine.request import Answer, FinishReason, PromptScored, Request, ScoredToken
from app.schemas.generate import GenerateIn, Message
from app.services import tokens
from app.services.continuation import Begun, Usage
from app.services.engine_loop import EventStream
from app.services.loaded_model import LoadedModel
from app.services.runtime import Runtime
from app.services.transcript import GeneratedToken, Transcript

DEFAULT_NEW_TOKENS = 256
SEEDS = 2**63
RANDOM_SEED_BITS = 32  # a number that every client's JSON can hold


@dataclass(frozen=True, slots=True)
class Progress:
    """One more token of choice `index`; the choice's last one says why it ended. No token: ended without one.

    `is_last`: nothing of any choice comes after this.
    """

    index: int
    token: GeneratedToken | None
    finish_reason: FinishReason | None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    index: int
    text: str
    finish_reason: FinishReason
    tokens: list[GeneratedToken]


@dataclass(frozen=True, slots=True)
class Work:
    """What one call asks of the engine: a request a choice, and where its text ends.

    `prompt_tokens` are those that the usage tells; choices of one prompt count it once. `begun`: the last ids of each
    prompt that are of the text to be continued.
    """

    id: str
    requests: tuple[Request, ...]
    stop: Sequence[str]
    prompt_tokens: int
    seed: int
    begun: Sequence[int] = ()


class Generation:
    """One call's continuations. `start`, then either `progress` or `collect`, then `close`; in one event loop."""

    def __init__(self, model: LoadedModel, work: Work) -> None:
        self.id = work.id
        self.model_name = model.name
        self.created = int(time.time())
        self.seed = work.seed
        self.prompt_scores: dict[int, tuple[ScoredToken, ...]] = {}
        """What the model thought of a choice's prompt; there before its first token, where the request asks for it."""
        self.logits: bytes | None = None
        """What its first token was drawn from, float32 (V,), little-endian; where the one request asks for it."""
        self._loop = model.loop
        self._requests, self._prompt_tokens, self._begun = work.requests, work.prompt_tokens, work.begun
        self._transcripts = [
            Transcript(model.tokenizer, work.stop, each.prompt_ids[-1], work.begun) for each in work.requests
        ]
        self._open = {request.id: index for index, request in enumerate(self._requests)}
        self._events: EventStream | None = None
        self._timeout_s = model.request_timeout_s
        self._deadline = 0.0

    @property
    def usage(self) -> Usage:
        """So far; of the whole call once it has ended."""
        return Usage(self._prompt_tokens, sum(each.token_count for each in self._transcripts))

    @property
    def prompt_ids(self) -> Sequence[int]:
        """Of its first choice."""
        return self._requests[0].prompt_ids

    @property
    def begun(self) -> Sequence[Begun]:
        """What its text begins with; the choices have it in common."""
        ends = self._requests[0].stop_ids
        texts = self._transcripts[0].begun
        return [Begun(id_, text, id_ in ends) for id_, text in zip(self._begun, texts, strict=True)]

    @property
    def is_finished(self) -> bool:
        return not self._open

    def start(self) -> None:
        """Queue the work.

        Raises:
            QueueFull: there is no room for all choices; nothing was queued.
            NotReady: the engine is being started again.
        """
        self._events = self._loop.submit(self._requests)
        self._deadline = asyncio.get_running_loop().time() + self._timeout_s

    async def progress(self) -> AsyncGenerator[Progress, None]:
        """Tokens of all choices, each as soon as its text is certain.

        Raises:
            AppError: the engine broke.
        """
        while self._open:
            events = await self._next()
            for event in events or ():
                index = self._open.get(event.request_id)
                if index is None:
                    continue  # a stop string ended it while the engine was a step ahead
                transcript = self._transcripts[index]
                if isinstance(event, PromptScored):
                    self.prompt_scores[index] = event.tokens
                    transcript.finish_reason = event.finish_reason
                    released = []
                else:
                    released = transcript.push(event)
                    if event.logits is not None:
                        self.logits = event.logits.numpy().astype("<f4").tobytes()
                if transcript.finish_reason is not None:
                    del self._open[event.request_id]
                    if event.finish_reason is None:
                        self._loop.abort([event.request_id])
                for step in _steps(index, released, transcript.finish_reason, is_end=not self._open):
                    yield step
            if events is None:
                async for step in self._aborted():
                    yield step

    async def _next(self) -> list[Answer] | None:
        """The next events; None where there will be none, or the time is over."""
        assert self._events is not None, "start() comes first"
        try:
            async with asyncio.timeout_at(self._deadline):
                return await self._events.next()
        except TimeoutError:
            self._loop.abort(list(self._open))
            return None

    async def _aborted(self) -> AsyncGenerator[Progress, None]:
        """The ends of all choices that have not ended."""
        indexes = list(self._open.values())
        self._open.clear()
        for index in indexes:
            for step in _steps(index, self._transcripts[index].abort(), "abort", is_end=index == indexes[-1]):
                yield step

    async def collect(self) -> list[Choice]:
        """All choices, once they have ended.

        Raises:
            AppError: the engine broke.
        """
        written: list[list[GeneratedToken]] = [[] for _ in self._requests]
        async for step in self.progress():
            if step.token is not None:
                written[step.index].append(step.token)
        return [
            Choice(index, "".join(token.text for token in its_tokens), transcript.finish_reason or "abort", its_tokens)
            for index, (its_tokens, transcript) in enumerate(zip(written, self._transcripts, strict=True))
        ]

    def close(self) -> None:
        """End what has not ended, and give its memory back. Safe to call at any time, more than once."""
        self._loop.abort(list(self._open))
        self._open.clear()


async def prepare(runtime: Runtime, spec: GenerateIn) -> Generation:
    """Find the model, loading it if need be, and check everything that can be known before the work begins.

    Raises:
        InvalidRequest: both `prompt` and `messages`, neither, or a text without a token.
        ModelNotFound, CheckpointNotFound, DataMissing, NotReady: as `Models.wait_for`.
        NoChatTemplate: `messages` for a model that has no template.
        TooLarge: more text than one call may bring.
        UnknownWord: the model's word tokenizer does not know a word.
        ContextLengthExceeded: prompt and new tokens are more than there is room for.
        QueueFull: there is no room now for so many requests.
    """
    check_text(spec, runtime.settings)
    if spec.n > runtime.settings.max_queued_requests:
        most = runtime.settings.max_queued_requests
        raise InvalidRequest(f"n: {spec.n} is more than the queue's {most}", param="n")
    model = await runtime.model(spec.model)
    model.loop.check_room(spec.n)
    return await asyncio.to_thread(_plan, model, spec, runtime.settings)


def check_text(spec: GenerateIn, settings: Settings) -> None:
    """See that there is one text, and not too much of it.

    Raises:
        InvalidRequest: both `prompt` and `messages`, or neither.
        TooLarge: more text than one call may bring.
    """
    if (spec.prompt is None) == (spec.messages is None):
        told = "not both" if spec.prompt is not None else "one of them"
        raise InvalidRequest(f"give prompt or messages, {told}", param="messages" if spec.messages else "prompt")
    texts = [spec.prompt] if spec.prompt is not None else [each.content for each in spec.messages or ()]
    size_bytes = sum(len(text.encode()) for text in texts)
    if size_bytes > settings.max_text_bytes:
        param = "prompt" if spec.prompt is not None else "messages"
        message = f"{param}: {size_bytes:,} bytes are more than the {settings.max_text_bytes:,} of one call"
        raise TooLarge(message, param=param)


def _plan(model: LoadedModel, spec: GenerateIn, settings: Settings) -> Generation:
    """Takes up to a second for a long text: not for the event loop."""
    tokens.check_ids(spec.begin, model.config.vocab_size, "begin")
    prompt_ids = _prompt_ids(model, spec) + spec.begin
    room = new_tokens_room(model, len(prompt_ids), settings, spec.max_new_tokens, _param(spec))
    params = SamplingParams(
        max_new_tokens=min(DEFAULT_NEW_TOKENS, room) if spec.max_new_tokens is None else spec.max_new_tokens,
        temperature=spec.temperature,
        top_k=spec.top_k,
        top_p=spec.top_p,
        min_p=spec.min_p,
        repetition_penalty=spec.repetition_penalty,
        seed=chosen_seed(spec.seed),
        top_logprobs=spec.top_logprobs,
    )
    id_ = new_id("gen")
    requests = tuple(
        Request(
            f"{id_}-{index}",
            tuple(prompt_ids),
            with_seed(params, index),
            model.stop_ids,
            logits=spec.logits,
            adapter=model.adapter,
        )
        for index in range(spec.n)
    )
    return Generation(model, Work(id_, requests, spec.stop, len(prompt_ids), params.seed, spec.begin))


def _prompt_ids(model: LoadedModel, spec: GenerateIn) -> list[int]:
    if spec.prompt is None:
        return chat_ids(model, spec.messages or ())
    return text_ids(model, spec.prompt)


def _param(spec: GenerateIn) -> str:
    return "prompt" if spec.messages is None else "messages"


def text_ids(model: LoadedModel, text: str, param: str = "prompt") -> list[int]:
    """The ids of a text that is to be continued.

    Raises:
        InvalidRequest: it has no token.
        UnknownWord: the model's word tokenizer does not know a word.
    """
    ids = tokens.encode(model.tokenizer, text, parse_special=False, param=param)
    if not ids:
        raise InvalidRequest(f"{param}: the tokenizer of {model.name} has no token for this text", param=param)
    return ids


def chat_ids(model: LoadedModel, messages: Sequence[Message]) -> list[int]:
    """The ids of a conversation, by the model's template.

    Raises:
        NoChatTemplate: it has none.
        InvalidRequest: it refuses these messages.
        UnknownWord: the model's word tokenizer does not know a word.
    """
    if model.chat_template is None:
        message = f"messages: {model.name} has no chat template; send a prompt, or name a chat model"
        raise NoChatTemplate(message, param="messages")
    return model.chat_template.encode(messages)


def new_tokens_room(
    model: LoadedModel,
    prompt_tokens: int,
    settings: Settings,
    asked: int | None,
    param: str,
    max_param: str = "max_new_tokens",
) -> int:
    """How many new tokens there is room for behind a prompt, if that is as many as are asked for (None: one).

    Raises:
        ContextLengthExceeded: it is less.
    """
    most = min(model.config.context_length, settings.kv_cache_tokens)
    wanted = 1 if asked is None else asked
    if prompt_tokens + wanted > most:
        new = f"{wanted} new one{'s' if wanted != 1 else ''}"
        where = "the context" if most == model.config.context_length else "the key-value memory"
        message = f"{prompt_tokens} tokens of prompt and {new} are more than the {most} of {where} of {model.name}"
        raise ContextLengthExceeded(message, param=param if prompt_tokens >= most else max_param)
    return most - prompt_tokens


def chosen_seed(seed: int | None) -> int:
    return secrets.randbits(RANDOM_SEED_BITS) if seed is None else seed


def with_seed(params: SamplingParams, index: int) -> SamplingParams:
    """The parameters of choice `index`: each draws with a seed of its own."""
    return replace(params, seed=(params.seed + index) % SEEDS)


def _steps(
    index: int, released: list[GeneratedToken], finish_reason: FinishReason | None, *, is_end: bool
) -> list[Progress]:
    """What was released, the last of it with the reason; a reason alone where there is no token to carry it."""
    if finish_reason is None:
        return [Progress(index, token, None) for token in released]
    last = Progress(index, released[-1] if released else None, finish_reason, is_last=is_end)
    return [*(Progress(index, token, None) for token in released[:-1]), last]
