"""A server that speaks OpenAI's API and nothing beside it: answers what a test tells it, keeps what it was asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

Answer = Callable[[dict[str, Any]], Awaitable[Response]]


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class PlainOpenAI:
    """Routes under /v1; what a path answers can be set. `hung_up` counts streams whose reader left."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.hung_up = 0
        self.answers: dict[str, Answer] = {"/v1/models": models_named("plain-1", "plain-2")}
        self.app = Starlette(routes=[Route("/{path:path}", self._answer, methods=["GET", "POST"])])

    def says(self, path: str, answer: Answer | Response) -> None:
        if isinstance(answer, Response):
            fixed = answer

            async def always(body: dict[str, Any]) -> Response:
                return fixed

            answer = always
        self.answers[path] = answer

    def streams(self, path: str, *events: object, done: bool = True) -> None:
        """Answer `path` with events: texts as they are, all else as JSON."""

        async def answer(body: dict[str, Any]) -> Response:
            async def frames() -> AsyncIterator[str]:
                for event in [*events, *(["[DONE]"] if done else [])]:
                    yield f"data: {event if isinstance(event, str) else json.dumps(event, ensure_ascii=False)}\n\n"

            return StreamingResponse(frames(), media_type="text/event-stream")

        self.answers[path] = answer

    def streams_for_ever(self, path: str, event: object, pause_s: float = 0.01) -> None:
        async def answer(body: dict[str, Any]) -> Response:
            async def frames() -> AsyncIterator[str]:
                try:
                    while True:
                        yield f"data: {json.dumps(event)}\n\n"
                        await asyncio.sleep(pause_s)
                finally:
                    self.hung_up += 1

            return StreamingResponse(frames(), media_type="text/event-stream")

        self.answers[path] = answer

    async def _answer(self, request: Request) -> Response:
        content = await request.body()
        body = json.loads(content) if content else None
        self.asked.append(Asked(request.method, request.url.path, dict(request.headers), body))
        answer = self.answers.get(request.url.path)
        return await answer(body) if answer else JSONResponse({"detail": "Not Found"}, 404)


def models_named(*names: str) -> Answer:
    async def answer(body: dict[str, Any]) -> Response:
        cards = [{"id": name, "object": "model", "created": 1, "owned_by": "plain", "extra": {}} for name in names]
        return JSONResponse({"object": "list", "data": cards})

    return answer


def text_chunk(text: str, *, index: int = 0, finish_reason: str | None = None, **fields: object) -> dict[str, Any]:
    """A chunk of a streamed completion."""
    choice = {"index": index, "text": text, "finish_reason": finish_reason, "logprobs": None} | fields
    return {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "plain-1", "choices": [choice]}


def chat_chunk(content: str | None, *, finish_reason: str | None = None, **fields: object) -> dict[str, Any]:
    """A chunk of a streamed answer."""
    delta = {} if content is None else {"content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason} | fields
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "plain-1", "choices": [choice]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}}
