"""Bodies come as they are: one that is packed (`Content-Encoding`) could unpack to any size, and nothing unpacks it."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import refusal
from app.errors import UnsupportedFormat


class PlainBodies:
    """Around the routes: what is packed is 415, unread. Files in forms may be packed; who reads them sees to that."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        packed = Headers(scope=scope).get("content-encoding", "identity") if scope["type"] == "http" else "identity"
        if packed.strip().lower() not in ("", "identity"):
            error = UnsupportedFormat(f"the body is {packed[:100]}, and is read here only as it is")
            return await refusal(error, Request(scope))(scope, receive, send)
        await self._app(scope, receive, send)
