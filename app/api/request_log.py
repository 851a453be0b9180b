"""An id for each request: on every line that is logged meanwhile, in the answer's header, and in a line of its own."""

from __future__ import annotations

import re
import time
from random import getrandbits

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api import request_metrics
from app.log import bind_contextvars, clear_contextvars, get_logger

log = get_logger(__name__)

HEADER = "x-request-id"
_ID = re.compile(r"[A-Za-z0-9-]{1,64}")


class RequestLog:
    """Around all else. A client's own id is kept if it is a short plain word; any other is replaced."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        given = Headers(scope=scope).get(HEADER, "")
        request_id = given if _ID.fullmatch(given) else f"{getrandbits(64):016x}"
        clear_contextvars()
        bind_contextvars(request_id=request_id)
        status, started = 0, time.perf_counter()

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - started
            request_metrics.count(scope, status, seconds)
            log.debug("request", method=scope["method"], path=scope["path"], status=status, ms=round(1000 * seconds))
