"""A server that is about to end: what runs may finish, what comes is sent elsewhere."""

from __future__ import annotations

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import app_error_body
from app.errors import NotReady

RETRY_AFTER_S = 5
STILL_ANSWERED = ("/healthz", "/metrics")


class Draining:
    """Around the routes: once `app.state.is_draining`, new requests get 503."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in STILL_ANSWERED or not _is_draining(scope):
            return await self._app(scope, receive, send)
        refusal = NotReady("this server is ending; try again", retry_after_s=RETRY_AFTER_S)
        headers = {"Retry-After": str(RETRY_AFTER_S), "Connection": "close"}
        await JSONResponse(app_error_body(refusal), refusal.status, headers)(scope, receive, send)


def _is_draining(scope: Scope) -> bool:
    return bool(getattr(scope["app"].state, "is_draining", False))
