"""Answers that hold much memory until the client has taken them: a few at a time, the others wait for a place.

A place is taken before the work and given back when the last piece is sent, or when the client hangs up, wherever the
answer is by then; a client that takes nothing for half a minute counts as gone.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from typing import Annotated, cast

from anyio import to_thread
from fastapi import Depends, Request, Response
from starlette.types import Receive, Scope, Send

from app.api.errors import CLIENT_CLOSED_REQUEST
from app.api.sse import SEND_TIMEOUT_S, cancelled, client_is_gone
from app.errors import QueueFull
from app.log import get_logger

log = get_logger(__name__)

PLACES = 2
RETRY_AFTER_S = 5


class Places:
    """Room for `count` answers; who comes first is served first. For one event loop."""

    def __init__(self, count: int = PLACES) -> None:
        self._free = asyncio.Semaphore(count)
        self.waiting = 0

    async def take(self, most_waiting: int) -> None:
        """Wait for a place.

        Raises:
            QueueFull: `most_waiting` others wait already.
        """
        if self._free.locked() and self.waiting >= most_waiting:
            message = f"{self.waiting} requests wait for a place already; try again"
            raise QueueFull(message, retry_after_s=RETRY_AFTER_S)
        self.waiting += 1
        try:
            await self._free.acquire()
        finally:
            self.waiting -= 1

    def give_back(self) -> None:
        self._free.release()


async def get_places(request: Request) -> Places:
    return cast(Places, request.app.state.places)


PlacesDep = Annotated[Places, Depends(get_places)]


async def answer(
    begin: Callable[[Callable[[], bool]], Iterator[bytes]], request: Request, places: Places, most_waiting: int
) -> Response:
    """JSON whose pieces `begin` hands out, once there is a place for it.

    It runs in a thread, and is given a function that says whether the client still waits. What it refuses comes
    before any answer.
    """
    is_gone = threading.Event()
    working = asyncio.ensure_future(_begun(lambda: begin(lambda: not is_gone.is_set()), places, most_waiting))
    leaving = asyncio.ensure_future(client_is_gone(request.receive))
    try:
        await asyncio.wait([working, leaving], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return HeldResponse(working.result(), places.give_back)
        return Response(status_code=CLIENT_CLOSED_REQUEST)
    finally:
        if not working.done():
            is_gone.set()
            await cancelled(working)
            if not working.cancelled() and working.exception() is None:
                places.give_back()  # it was done in the last moment
        await cancelled(leaving)


async def _begun(begin: Callable[[], Iterator[bytes]], places: Places, most_waiting: int) -> Iterator[bytes]:
    await places.take(most_waiting)
    try:
        return await to_thread.run_sync(begin)
    except BaseException:
        places.give_back()
        raise


class HeldResponse(Response):
    """Sends pieces, each made in a thread, and calls `release` when they are sent or the client is gone."""

    media_type = "application/json"

    def __init__(self, pieces: Iterator[bytes], release: Callable[[], None]) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._pieces, self._release = pieces, release
        self._making: asyncio.Future[bytes | None] | None = None

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(client_is_gone(receive))
        try:
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancelled(leaving, sending)
            await self._let_go()
            self._release()
        if not sending.cancelled():
            sending.result()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            while (piece := await self._next()) is not None:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except (TimeoutError, OSError) as error:
            log.info("client_lost", error=type(error).__name__)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _next(self) -> bytes | None:
        self._making = asyncio.ensure_future(to_thread.run_sync(next, self._pieces, None))
        return await asyncio.shield(self._making)  # a thread cannot be cancelled, only waited for

    async def _let_go(self) -> None:
        """What the pieces hold goes before the place does, and not while a thread makes one of them."""
        if self._making is not None:
            await asyncio.wait([self._making])
        if isinstance(self._pieces, Generator):
            await to_thread.run_sync(self._pieces.close)
        self._pieces = iter(())
