"""Pages of other sites: what their scripts may read of us, and that they change nothing.

A browser says from where it asks (`Sec-Fetch-Site`, `Origin`), and no script can have it say otherwise. What is no
browser says neither, and passes.
"""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import error_body, refusal
from app.errors import CrossSite

CHANGES_NOTHING = ("GET", "HEAD", "OPTIONS")
EVERY_ORIGIN = "*"
EXPOSED = (
    "Location",
    "Retry-After",
    "X-Request-ID",
    "RateLimit",
    "RateLimit-Policy",
)
"""Headers of ours that a page of an allowed origin may read, beside those that any may."""


class SameSite:
    """Around the check of keys, which costs more, and there where no keys are asked for, too: a browser that is sent
    here by another site's page gets 403 for all that is no mere reading. Origins that are allowed pass."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        self._app = app
        self._allowed = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (
            scope["type"] == "http"
            and scope["method"] not in CHANGES_NOTHING
            and self._is_foreign(Headers(scope=scope))
        ):
            error = CrossSite("a page of another site may not ask for this; INKLING_ALLOWED_ORIGINS says which may")
            return await refusal(error, Request(scope))(scope, receive, send)
        await self._app(scope, receive, send)

    def _is_foreign(self, headers: Headers) -> bool:
        origin = headers.get("origin")
        if EVERY_ORIGIN in self._allowed or (origin is not None and origin.lower() in self._allowed):
            return False
        if (site := headers.get("sec-fetch-site")) is not None:
            return site not in ("same-origin", "none")  # none: the person themselves, by an address or a bookmark
        return origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()


class AllowedOrigins(CORSMiddleware):
    """Lets scripts of these origins send keys and read answers, never with our cookie."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=allowed_origins,
            allow_methods=("GET", "HEAD", "POST", "PATCH", "DELETE"),
            allow_headers=["*"],  # OpenAI's client sends a dozen of its own
            expose_headers=EXPOSED,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code == 200:
            return answer
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        body = error_body(bytes(answer.body).decode(), kind="invalid_request_error", code="bad_request")
        return JSONResponse(body, answer.status_code, kept)
