"""Server-sent events: frames, keep-alive, and an end to the work when the client is gone.

Everything that can be refused is refused before: an answer that has begun is a 200 whatever comes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

from fastapi import Response
from fastapi.sse import KEEPALIVE_COMMENT, EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from app.api.errors import app_error_body, error_body
from app.errors import AppError
from app.log import get_logger

log = get_logger(__name__)

KEEP_ALIVE_S = 15.0
SEND_TIMEOUT_S = 30.0
"""A client that takes nothing for this long is gone, whatever its connection says."""

DONE = format_sse_event(data_str="[DONE]")


async def frames(events: AsyncIterator[str]) -> AsyncGenerator[bytes, None]:
    """Frame events (JSON texts), and end with `[DONE]`; what breaks on the way is an event, too."""
    try:
        async for event in events:
            yield format_sse_event(data_str=event)
    except AppError as error:
        yield format_sse_event(data_str=json.dumps(app_error_body(error)))
    except Exception as error:  # the answer has begun: a status can no longer tell of it
        log.error("unexpected_error", exc_info=error)
        body = error_body("something broke on our side; the log has it", kind="server_error", code="internal_error")
        yield format_sse_event(data_str=json.dumps(body))
    yield DONE


class EventStreamResponse(Response):
    """Sends frames as they come, and calls `close` when they end or the client is gone, whichever is first."""

    media_type = EventSourceResponse.media_type

    def __init__(self, frames: AsyncGenerator[bytes, None], close: Callable[[], None] | None = None) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames, self._close = frames, close

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(client_is_gone(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if self._close is not None:
                self._close()
            await cancelled(leaving, sending)
            await self._frames.aclose()
        if sending.done() and not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for frame in _with_keep_alive(self._frames):
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": frame, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError) as error:
            log.info("client_lost", error=type(error).__name__)


async def client_is_gone(receive: Receive) -> None:
    """Wait until the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their ends, whatever these are."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _with_keep_alive(frames: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
    """The frames, and a comment after each pause, so that no proxy takes the connection for dead."""
    coming: asyncio.Future[bytes | None] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(anext(frames, None))
            await asyncio.wait([coming], timeout=KEEP_ALIVE_S)
            if not coming.done():
                yield KEEPALIVE_COMMENT
                continue
            frame, coming = coming.result(), None
            if frame is None:
                return
            yield frame
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
