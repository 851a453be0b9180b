"""POST /generate where a remote server generates: our body as OpenAI's, its chunks as our events.

Knows fields, choices and why they end; knows no connection, and no HTTP of ours.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from app.db.base import new_id
from app.errors import InvalidRequest, RemoteFailed, RemoteRefused, RemoteTimeout
from app.llm.engine.request import FinishReason
from app.schemas.generate import GenerateIn
from app.schemas.remote import RemoteChoice, RemoteChunk
from app.services import remote_models
from app.services.continuation import Begun, Usage
from app.services.generation import DEFAULT_NEW_TOKENS, check_text
from app.services.remote import Remote, RemoteStream
from app.services.remote_refusals import unreadable
from app.services.remote_tokens import RemoteToken, tokens_of
from app.services.runtime import Runtime

ENDS: dict[str, FinishReason] = {"stop": "stop", "eos": "stop", "length": "length"}
"""What servers say at the end of a text. Whatever else they say, it is not the model that ended it: `abort`."""
OUR_NAMES = {"max_tokens": "max_new_tokens", "max_completion_tokens": "max_new_tokens", "logprobs": "top_logprobs"}


@dataclass(frozen=True, slots=True)
class RemoteProgress:
    """As `generation.Progress`; the reason may come by itself, without a token."""

    index: int
    token: RemoteToken | None
    finish_reason: FinishReason | None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class RemoteText:
    """A choice that has ended."""

    index: int
    text: str
    finish_reason: FinishReason
    tokens: list[RemoteToken]


class RemoteGeneration:
    """One call's continuations, written elsewhere. `start`, then `progress` or `collect`, then `close`."""

    def __init__(self, remote: Remote, model: str, spec: GenerateIn) -> None:
        self.id = new_id("gen")
        self.model_name = model
        self.created = int(time.time())
        self.seed = spec.seed
        """As asked for: what a remote draws with by itself it does not tell."""
        self.usage: Usage | None = None
        """Once the remote has told."""
        self.logits: bytes | None = None
        """OpenAI's shapes have none, nor the ids of a prompt, nor tokens to begin with."""
        self.prompt_ids: tuple[int, ...] = ()
        self.begun: tuple[Begun, ...] = ()
        self._remote, self._spec = remote, spec
        self._open = set(range(spec.n))
        self._stream: RemoteStream | None = None

    def start(self) -> None:
        """Send the request."""
        path = "/completions" if self._spec.messages is None else "/chat/completions"
        self._stream = self._remote.stream(path, fields_of(self._spec, self.model_name))

    async def accepted(self) -> None:
        """Wait until the remote begins to answer.

        Raises:
            RemoteRefused, RemoteFailed, RemoteUnavailable, RemoteTimeout: it does not.
        """
        assert self._stream is not None, "start() comes first"
        try:
            await self._stream.accepted()
        except RemoteRefused as refusal:
            refusal.param = OUR_NAMES.get(refusal.param or "", refusal.param)
            raise

    async def progress(self) -> AsyncGenerator[RemoteProgress, None]:
        """Tokens of all choices, as they come. The last end waits for the usage, which comes behind it.

        Raises:
            AppError: as `accepted`; or the remote failed in the middle.
        """
        await self.accepted()
        last: RemoteProgress | None = None
        try:
            async for chunk in self._chunks():
                if chunk.usage is not None:
                    self.usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
                for step in (step for choice in chunk.choices for step in self._steps(choice)):
                    if self._open:
                        yield step
                    else:
                        last = step
        except RemoteTimeout:
            for index in sorted(self._open):
                yield RemoteProgress(index, None, "abort", is_last=last is None and index == max(self._open))
            self._open.clear()
        except RemoteFailed:
            if self._open:
                raise  # otherwise only what comes behind the texts is missing: `[DONE]`, perhaps the usage
        if self._open:
            raise RemoteFailed("the generation backend ended its answer before the text had an end")
        if last is not None:
            yield RemoteProgress(last.index, last.token, last.finish_reason, is_last=True)

    async def collect(self) -> list[RemoteText]:
        """All choices, once they have ended.

        Raises:
            AppError: as `progress`.
        """
        tokens: list[list[RemoteToken]] = [[] for _ in range(self._spec.n)]
        ends: list[FinishReason] = ["abort"] * self._spec.n
        async for step in self.progress():
            if step.token is not None:
                tokens[step.index].append(step.token)
            if step.finish_reason is not None:
                ends[step.index] = step.finish_reason
        return [
            RemoteText(index, "".join(token.text for token in own), end, own)
            for index, (own, end) in enumerate(zip(tokens, ends, strict=True))
        ]

    def close(self) -> None:
        """Hang up. Safe to call at any time, more than once."""
        if self._stream is not None:
            self._stream.close()

    async def _chunks(self) -> AsyncGenerator[RemoteChunk, None]:
        assert self._stream is not None, "start() comes first"
        async for data in self._stream.events():
            try:
                yield RemoteChunk.model_validate_json(data)
            except ValidationError as error:
                raise unreadable("an event that is none of a completion") from error

    def _steps(self, choice: RemoteChoice) -> Iterator[RemoteProgress]:
        """What a chunk says of a choice that has not ended; its last token carries the reason."""
        if choice.index not in self._open:
            return
        tokens = tokens_of(choice, self._spec.top_logprobs)
        if choice.finish_reason is None:
            yield from (RemoteProgress(choice.index, token, None) for token in tokens)
            return
        yield from (RemoteProgress(choice.index, token, None) for token in tokens[:-1])
        self._open.discard(choice.index)
        last = tokens[-1] if tokens else None
        yield RemoteProgress(choice.index, last, ENDS.get(choice.finish_reason, "abort"))


async def prepare(runtime: Runtime, remote: Remote, spec: GenerateIn) -> RemoteGeneration:
    """Check what can be known here, and find the model that is meant.

    Raises:
        InvalidRequest: both `prompt` and `messages`, or neither; `begin` or `logits`, which no such server knows.
        TooLarge: more text than one call may bring.
        RemoteFailed, RemoteUnavailable, RemoteTimeout: no model is named, and the remote does not tell which it has.
    """
    check_text(spec, runtime.settings)
    for name in ("begin", "logits"):
        if getattr(spec, name):
            raise InvalidRequest(f"{name}: the generation backend has no such field", param=name)
    model = spec.model
    if model is None:
        model = await remote_models.default_name(remote, runtime.settings.default_model)
    return RemoteGeneration(remote, model, spec)


def fields_of(spec: GenerateIn, model: str) -> dict[str, Any]:
    """The body in OpenAI's words; what others add to these is sent only where it is asked for.

    It is always a stream, so that a text whose time is over is there as far as it came.
    """
    fields: dict[str, Any] = {
        "model": model,
        "max_tokens": DEFAULT_NEW_TOKENS if spec.max_new_tokens is None else spec.max_new_tokens,
        "temperature": spec.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if spec.messages is None:
        fields |= {"prompt": spec.prompt, "logprobs": spec.top_logprobs}
    else:
        messages = [each.model_dump() for each in spec.messages]
        fields |= {"messages": messages, "logprobs": True}
        fields |= {"top_logprobs": spec.top_logprobs} if spec.top_logprobs else {}
    asked = {"top_p": spec.top_p, "top_k": spec.top_k, "min_p": spec.min_p, "seed": spec.seed}
    fields |= {name: value for name, value in asked.items() if value is not None}
    if spec.repetition_penalty != 1:
        fields["repetition_penalty"] = spec.repetition_penalty
    if spec.stop:
        fields["stop"] = spec.stop
    if spec.n > 1:
        fields["n"] = spec.n
    return fields
