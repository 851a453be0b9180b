"""A generation to an answer, whole or as a stream, unless the client hangs up before there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from fastapi import Request, Response

from app.api.errors import CLIENT_CLOSED_REQUEST
from app.api.sse import EventStreamResponse, cancelled, client_is_gone, frames


async def whole(
    request: Request, write: Callable[[], Awaitable[str | bytes | Response]], close: Callable[[], None] | None = None
) -> Response:
    """What `write` makes, a text of it as JSON; a client that hangs up ends the work; `close` is called at the end."""
    writing = asyncio.ensure_future(write())
    leaving = asyncio.ensure_future(client_is_gone(request.receive))
    try:
        await asyncio.wait([writing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        made = writing.result()
        return made if isinstance(made, Response) else Response(made, media_type="application/json")
    finally:
        if close is not None:
            close()
        await cancelled(leaving, writing)


async def opened(
    request: Request, accepted: Coroutine[Any, Any, None], events: AsyncIterator[str], close: Callable[[], None]
) -> Response:
    """A stream of `events` once `accepted` is through; until then, a client that hangs up ends the work as well.

    Raises:
        AppError: what `accepted` raises, before the stream opens.
    """
    waiting = asyncio.ensure_future(accepted)
    leaving = asyncio.ensure_future(client_is_gone(request.receive))
    is_open = False
    try:
        await asyncio.wait([waiting, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        waiting.result()
        is_open = True
    finally:
        if not is_open:
            close()
        await cancelled(leaving, waiting)
    return EventStreamResponse(frames(events), close)
