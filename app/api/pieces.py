"""Long answers in pieces: each is made in a thread, few of them at a time, so that small requests pass between them.

A megabyte of text may become a million tokens and a hundred megabytes of JSON. Made in one go it would hold the
interpreter for seconds; many at once would fill the thread pool that all requests share.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, cast

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request, Response
from fastapi.responses import StreamingResponse

THREADS = 2  # that work on long answers at once; the pool has forty for all else
LONG = 16 * 1024  # characters or ids from which an answer takes more than some milliseconds


async def get_long_work(request: Request) -> CapacityLimiter:
    return cast(CapacityLimiter, request.app.state.long_work)


LongWorkDep = Annotated[CapacityLimiter, Depends(get_long_work)]
"""How many threads may work on long answers at once."""


async def answer(begin: Callable[[], Iterator[bytes]], *, is_long: bool, long_work: CapacityLimiter) -> Response:
    """JSON whose pieces `begin` hands out. It runs in a thread, and what it refuses comes before any answer."""
    if not is_long:
        return Response(await to_thread.run_sync(lambda: b"".join(begin())), media_type="application/json")
    pieces = await to_thread.run_sync(begin, limiter=long_work)
    return StreamingResponse(_in_threads(pieces, long_work), media_type="application/json")


async def _in_threads(pieces: Iterator[bytes], long_work: CapacityLimiter) -> AsyncIterator[bytes]:
    while (piece := await to_thread.run_sync(next, pieces, None, limiter=long_work)) is not None:
        yield piece
