"""Every refusal in the one shape: {"error": {"message", "type", "param", "code"}}."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.allowed import allowed
from app.db.session import UNAVAILABLE
from app.errors import AppError, MalformedBody, NoDiskSpace, NotReady, UnsupportedFormat
from app.log import get_logger
from app.schemas.error import Error
from app.schemas.vllm import FORMS

log = get_logger(__name__)

Responses = dict[int | str, dict[str, Any]]

ALWAYS: Responses = {
    400: {"model": Error, "description": "invalid_json, bad_request"},
    401: {"model": Error, "description": "invalid_api_key, where keys are required"},
    403: {"model": Error, "description": "missing_scope, where keys are required; cross_site"},
    421: {"model": Error, "description": "unknown_host"},
    429: {"model": Error, "description": "rate_limit_exceeded"},
    422: {"model": Error, "description": "A field is missing, unknown, or has a value that cannot be used."},
}
"""OpenAPI entries for what any route may answer."""

_CODES = {
    400: ("bad_request", "invalid_request_error"),
    404: ("not_found", "not_found_error"),
    405: ("method_not_allowed", "invalid_request_error"),
    413: ("too_large", "invalid_request_error"),
    415: ("unsupported_format", "invalid_request_error"),
}


_READ_BODIES = ("application/json", "multipart/form-data", "application/x-www-form-urlencoded")
DATABASE_RETRY_AFTER_S = 5
CLIENT_CLOSED_REQUEST = 499  # nobody reads it but the log
_READ_AWAY_BYTES = 64 * 1024 * 1024
_READ_AWAY_SILENCE_S = 1.0


def error_body(message: str, *, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def app_error_body(error: AppError) -> dict[str, Any]:
    return error_body(error.message, kind=error.type, code=error.code, param=error.param)


def refusals(*errors: type[AppError]) -> Responses:
    """OpenAPI entries for what a route may answer, beside those of `ALWAYS`."""
    schema = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    by_status: dict[int, list[str]] = {}
    for error in errors:
        by_status.setdefault(error.status, []).append(error.code)
    return {status: {"description": ", ".join(codes), "content": schema} for status, codes in by_status.items()}


class OneShape:
    """Around all else: the body limit answers in plain text what no exception handler gets to see."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        replaced = False

        async def send_in_shape(message: Message) -> None:
            nonlocal replaced
            if message["type"] == "http.response.start" and _is_plain_413(message):
                replaced = True
                await _read_away(scope, receive)
                body = error_body("the body is longer than this route takes", **_names(413))
                await JSONResponse(body, 413)(scope, receive, send)
            elif not replaced:
                await send(message)

        await self._app(scope, receive, send_in_shape)


async def _read_away(scope: Scope, receive: Receive) -> None:
    """Take what the client still sends: many see a broken connection, not the answer, while they are sending.

    One that asks before it sends (`Expect`) is not told to, and one that sends nothing is not waited for.
    """
    left, more = _READ_AWAY_BYTES, "expect" not in Headers(scope=scope)
    with suppress(TimeoutError):
        while more and left > 0:
            async with asyncio.timeout(_READ_AWAY_SILENCE_S):
                message = await receive()
            left -= len(message.get("body", b""))
            more = message["type"] == "http.request" and message.get("more_body", False)


def _is_plain_413(message: Message) -> bool:
    return message["status"] == 413 and Headers(raw=message["headers"]).get("content-type", "").startswith("text/plain")


def _names(status: int) -> dict[str, str]:
    code, kind = _CODES.get(status, ("http_error", "invalid_request_error"))
    return {"code": code, "kind": kind}


def install(app: FastAPI) -> None:
    """Answer every exception that reaches the edge in the one shape."""

    @app.exception_handler(AppError)
    async def _refuse(request: Request, error: AppError) -> JSONResponse:
        return refusal(error, request)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
        if error.errors()[0]["loc"] == ("body",) and kind not in _READ_BODIES:
            return refusal(UnsupportedFormat(f"the body is {kind[:100]}, and JSON is read here"), request)
        body, status = validation_answer(error)
        return JSONResponse(body, _status(status, request))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 400 and (unread := _unread_body(error.__cause__)):
            return refusal(unread, request)
        body = error_body(str(error.detail), **_names(error.status_code))
        headers = dict(error.headers or {}) | ({"Allow": allowed(request)} if error.status_code == 405 else {})
        return JSONResponse(body, error.status_code, headers)

    @app.exception_handler(ClientDisconnect)
    async def _gone(_request: Request, _error: ClientDisconnect) -> Response:
        return Response(status_code=CLIENT_CLOSED_REQUEST)

    for unavailable in UNAVAILABLE:
        app.exception_handler(unavailable)(database_away)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> JSONResponse:
        log.error("unexpected_error", exc_info=error)
        body = error_body("something broke on our side; the log has it", kind="server_error", code="internal_error")
        return JSONResponse(body, 500, _no_retry(500, request))


async def database_away(request: Request, error: Exception) -> JSONResponse:
    """The answer where the database is what failed."""
    log.error("database_away", error=str(error)[:500])
    return refusal(NotReady("the database does not answer; try again", retry_after_s=DATABASE_RETRY_AFTER_S), request)


def refusal(error: AppError, request: Request) -> JSONResponse:
    """The answer that tells of it, as the request's API tells such things."""
    headers = _no_retry(error.status, request)
    if error.retry_after_s is not None:
        headers = {"Retry-After": str(error.retry_after_s)}
    return JSONResponse(app_error_body(error), _status(error.status, request), headers)


def is_openai(request: Request) -> bool:
    """Whether it is sent to OpenAI's API, which tells some things in other words."""
    return request.url.path.startswith("/v1/")


def _status(status: int, request: Request) -> int:
    """OpenAI's API answers 400 to a field that is wrong."""
    return 400 if status == 422 and is_openai(request) else status


def _no_retry(status: int, request: Request) -> dict[str, str]:
    """OpenAI's clients send 409 and 5xx again, unless they are told that it is in vain."""
    return {"x-should-retry": "false"} if (status == 409 or status >= 500) and is_openai(request) else {}


def _unread_body(cause: BaseException | None) -> AppError | None:
    """What FastAPI, which could not read a body, says of it in one sentence only."""
    match cause:
        case OSError(errno=errno.ENOSPC):
            return NoDiskSpace("there is no room on the disk for what is being sent")
        case ValueError() | RecursionError():  # numbers of thousands of digits, no UTF-8; too deep
            return MalformedBody("the body is no JSON that can be read: too deep, too long a number, or no UTF-8")
    return None


def validation_answer(error: RequestValidationError) -> tuple[dict[str, Any], int]:
    """The body and the status that tell of the first field that is wrong."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return error_body(
            f"the body is no JSON: {first['ctx']['error']}", kind="invalid_request_error", code="invalid_json"
        ), 400
    param = ".".join(str(part) for part in first["loc"][1:] if part not in FORMS) or first.get("ctx", {}).get("param")
    code = {"extra_forbidden": "unknown_field", "missing": "missing_field"}.get(first["type"], "invalid_value")
    told = _told(first)
    message = f"{param}: {told}" if param else told
    return error_body(
        _printable(message), kind="invalid_request_error", code=code, param=_printable(param) if param else None
    ), 422


def _told(error: Any) -> str:
    """What pydantic says, but for lengths: behind a validator it speaks of items of a text."""
    limits = error.get("ctx", {})
    if error["type"] in ("too_short", "string_too_short") and limits.get("min_length") == 1:
        return "must not be empty"
    if error["type"] == "too_long" and isinstance(error["input"], str):
        return f"at most {limits['max_length']} characters, not {len(error['input'])}"
    return str(error["msg"])


def _printable(text: str) -> str:
    """A field name may hold a lone surrogate, which no answer can carry."""
    return text.encode("utf-8", "backslashreplace").decode()
