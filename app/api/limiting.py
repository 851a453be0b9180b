"""Behind the check of keys: nobody asks for more than their share, and each answer says what is left of it.

Health, metrics and static files are not counted: those who watch over the service are to see it when it is busy.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AsyncExitStack
from ipaddress import IPv6Address, ip_address
from typing import Protocol

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import is_openai, refusal
from app.api.scopes import OPEN_UNDER
from app.errors import RateLimited
from app.services.continuation import Usage
from app.services.limits import WINDOW_S, Limit, Limits, Window
from app.services.runtime import Runtime

NOT_COUNTED = ("/healthz", "/readyz", "/metrics")
GENERATING = ("/generate", "/v1/completions", "/v1/chat/completions", "/ui/generate")
_FOLLOWED = re.compile(r"/jobs/[^/]+/events")
_IPV6_NETWORK_BITS = 64  # of one customer, who may use every address in it


class Limiting:
    """Around the routes: beyond a limit 429, before the body is read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in NOT_COUNTED or scope["path"].startswith(OPEN_UNDER):
            return await self._app(scope, receive, send)
        runtime: Runtime = scope["app"].state.runtime
        limits, request, subject = runtime.limits, Request(scope), subject_of(scope)
        is_generating = scope["method"] == "POST" and scope["path"] in GENERATING
        windows = [await limits.count("requests", subject)]
        if is_generating:
            windows.append(await limits.look("tokens", subject))
        told = _Told([window for window in windows if window is not None], send, is_openai(request))
        over = next((window for window in told.windows if window.is_over), None)
        if over is not None:
            return await _refuse(limits, over.rate, _beyond(over), request)(scope, receive, told.send)
        scope.setdefault("state", {})["meter"] = lambda tokens: limits.spend(subject, tokens)
        async with AsyncExitStack() as stack:
            if is_generating or _is_followed(request):
                try:
                    await stack.enter_async_context(limits.streams.held(subject))
                except RateLimited as error:
                    return await _refuse(limits, "streams", error, request)(scope, receive, told.send)
            await self._app(scope, receive, told.send)


class Spends(Protocol):
    """A text that is being written; see `continuation.Continuation`."""

    @property
    def usage(self) -> Usage | None: ...
    def close(self) -> None: ...


def closing(request: Request, text: Spends) -> Callable[[], None]:
    """Ends the writing, and has what was written counted for whom it was."""

    def close() -> None:
        text.close()
        meter = getattr(request.state, "meter", None)
        if meter is not None and text.usage is not None:
            meter(text.usage.total_tokens)

    return close


def subject_of(scope: Scope) -> str:
    """Who is counted: the key, or where there is none the address, of IPv6 its network."""
    caller = scope.get("state", {}).get("caller")
    if caller is not None:
        return f"key:{caller.key_id}"
    host = scope["client"][0] if scope.get("client") else ""
    try:
        address = ip_address(host)
    except ValueError:
        return f"address:{host}"
    if isinstance(address, IPv6Address):
        mapped = address.ipv4_mapped
        network = int(address) >> (128 - _IPV6_NETWORK_BITS)
        return f"address:{mapped}" if mapped is not None else f"address:{network:x}::"
    return f"address:{address}"


class _Told:
    """Answers that say what is left: as the IETF's draft has it, and for OpenAI's clients as OpenAI does."""

    def __init__(self, windows: list[Window], send: Send, is_openai: bool) -> None:
        self.windows, self._send, self._is_openai = windows, send, is_openai

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start" and self.windows:
            headers = MutableHeaders(scope=message)
            policies = [f'"{each.rate}";q={each.limit};w={WINDOW_S}' for each in self.windows]
            left = [f'"{each.rate}";r={each.remaining};t={each.reset_s}' for each in self.windows]
            headers["ratelimit-policy"], headers["ratelimit"] = ", ".join(policies), ", ".join(left)
            for each in self.windows if self._is_openai else ():
                headers[f"x-ratelimit-limit-{each.rate}"] = str(each.limit)
                headers[f"x-ratelimit-remaining-{each.rate}"] = str(each.remaining)
                headers[f"x-ratelimit-reset-{each.rate}"] = f"{each.reset_s}s"
        await self._send(message)


def _beyond(window: Window) -> RateLimited:
    message = f"more than {window.limit:,} {window.rate} a minute; try again in {window.reset_s} s"
    return RateLimited(message, retry_after_s=window.reset_s)


def _refuse(limits: Limits, limit: Limit, error: RateLimited, request: Request) -> ASGIApp:
    limits.metrics.over_limit.labels(limit).inc()
    return refusal(error, request)


def _is_followed(request: Request) -> bool:
    is_event_stream = "text/event-stream" in Headers(scope=request.scope).get("accept", "")
    return is_event_stream and _FOLLOWED.fullmatch(request.scope["path"]) is not None
