"""A short way through FastAPI for routes that are called thousands of times a second.

FastAPI reads a body into objects, validates these, and solves a tree of dependencies; for a text of one kilobyte that
takes three times as long as to encode it (docs/performance.md).
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect

from app.api.deps import get_runtime
from app.api.errors import CLIENT_CLOSED_REQUEST
from app.api.pieces import get_long_work


class LeanRoute(APIRoute):
    """A route whose function takes `body`, `runtime`, `long_work` and perhaps `request`, and answers with a Response.

    A body that pydantic takes as it came goes straight to the function. All else goes FastAPI's way, so that what is
    refused is refused there, in the same words.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        usual = super().get_route_handler()
        taken = get_type_hints(self.endpoint, include_extras=True)
        bodies: TypeAdapter[Any] = TypeAdapter(taken["body"])

        async def handle(request: Request) -> Response:
            if request.headers.get("content-type") != "application/json":
                return await usual(request)
            try:
                body = bodies.validate_json(await request.body())
            except ClientDisconnect:
                return Response(status_code=CLIENT_CLOSED_REQUEST)
            except ValidationError:
                return await usual(request)
            given = {"request": request} if "request" in taken else {}
            runtime, long_work = await get_runtime(request), await get_long_work(request)
            response: Response = await self.endpoint(body=body, runtime=runtime, long_work=long_work, **given)
            return response

        return handle
