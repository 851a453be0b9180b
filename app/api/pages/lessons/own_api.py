"""A lesson's request, sent to this very service from within: what a page without script asks for the reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx
from starlette.datastructures import Address
from starlette.types import ASGIApp

from app.api.pages.lessons.ask import Request


class Refused(Exception):
    """The service said no; the message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


async def ask(
    app: ASGIApp,
    request: Request,
    credentials: Mapping[str, str] | None = None,
    client: Address | None = None,
) -> Any:
    """The JSON that the service answers with; `credentials` are headers, the reader's own, as is the `client` address.

    Raises:
        Refused: it refuses.
    """
    transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=client or ("", 0))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as own:
        body = request.body if request.method == "POST" else None
        answer = await own.request(request.method, request.path, json=body, headers=dict(credentials or {}))
    found = answer.json()
    if answer.is_success:
        return found
    message = found["error"]["message"]
    raise Refused(answer.status_code, f"{message[:1].upper()}{message[1:]}{'' if message[-1:] in '.!?' else '.'}")
