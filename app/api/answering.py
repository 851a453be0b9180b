"""A generation to an answer: all at once, unless the client hangs up before it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fastapi import Request, Response

from app.api.sse import cancelled, client_is_gone
from app.services.generation import Generation

CLIENT_CLOSED_REQUEST = 499  # nobody reads it but the log


async def whole(generation: Generation, request: Request, write: Callable[[], Awaitable[str]]) -> Response:
    """The JSON that `write` makes; a client that hangs up ends the work."""
    writing = asyncio.ensure_future(write())
    leaving = asyncio.ensure_future(client_is_gone(request.receive))
    try:
        await asyncio.wait([writing, leaving], return_when=asyncio.FIRST_COMPLETED)
        if not writing.done():
            return Response(status_code=CLIENT_CLOSED_REQUEST)
        return Response(writing.result(), media_type="application/json")
    finally:
        generation.close()
        await cancelled(leaving, writing)
