"""uvicorn's HTTP connection with bounds on what a client may send, and for how long it may take.

uvicorn waits for ever for a head, for a body and for a reader, and holds whatever it is sent of a head. The app's own
limits begin when the head is there; what is here holds until then, and for all that is slow.
"""

from __future__ import annotations

import asyncio
import json
from asyncio import TimerHandle
from collections.abc import Callable
from http import HTTPStatus

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

MAX_HEADERS = 100
MAX_HEAD_BYTES = 64 * 1024
"""Of the request's line and all headers: a page's address may carry a text."""
HEAD_S = 15.0
"""From the connection, or the first byte of a later request, to the end of its head."""
LOOK_EVERY_S = 30.0
MIN_BYTES = 15_000
"""What a body has to bring, and a reader has to take, from one look to the next; or else the end."""

_CODES = {
    HTTPStatus.BAD_REQUEST: ("bad_request", "this is no HTTP request that can be read"),
    HTTPStatus.REQUEST_TIMEOUT: ("request_timeout", "the request did not come to its end in time"),
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: (
        "head_too_large",
        f"more than {MAX_HEADERS} headers, or {MAX_HEAD_BYTES:,} bytes of address and headers together",
    ),
}


class BoundedProtocol(HttpToolsProtocol):
    """One connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._is_in_head = self._is_in_body = False
        self._head_bytes = self._headers_bytes = 0
        self._refused_for = HTTPStatus.BAD_REQUEST
        self._received = self._seen = self._unsent = 0
        self._timers: dict[str, TimerHandle] = {}
        self._at_work: list[RequestResponseCycle] = []
        self._start("head", HEAD_S, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        for name in list(self._timers):
            self._stop(name)
        self._let_go_of_app()
        super().connection_lost(exc)

    # What comes in

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return None
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                return self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            if "head" not in self._timers:
                self._start("head", HEAD_S, self._head_is_late)
        elif self._is_in_body:
            if "body" not in self._timers:
                self._look_again_at_body()
        elif not self._timers and (self.cycle is None or self.cycle.response_complete):
            self._start("head", HEAD_S, self._head_is_late)  # empty lines between requests end uvicorn's own timer

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._head_bytes, self._headers_bytes = True, 0, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._headers_bytes += len(name) + len(value)
        if len(self.headers) > MAX_HEADERS or len(self.url) + self._headers_bytes > MAX_HEAD_BYTES:
            self._refused_for = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            raise ValueError("the head is too large")  # the parser stops, and `send_400_response` is called

    def on_headers_complete(self) -> None:
        self._is_in_head, self._is_in_body = False, True
        self._stop("head")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._is_in_body = False
        self._stop("body")
        super().on_message_complete()

    def _head_is_late(self) -> None:
        self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    def _look_again_at_body(self) -> None:
        self._seen = self._received
        self._start("body", LOOK_EVERY_S, self._look_at_body)

    def _look_at_body(self) -> None:
        if self.cycle.response_complete:  # it was refused long ago, and goes on sending
            self.transport.close()
        elif self.flow.read_paused or self._received - self._seen >= MIN_BYTES:
            self._look_again_at_body()
        else:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)

    # What goes out

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._stop("reader")
        super().resume_writing()

    def on_response_complete(self) -> None:
        self._at_work = [cycle for cycle in self._at_work if not cycle.response_complete]
        super().on_response_complete()
        if self.transport.get_write_buffer_size():
            self._watch_reader()

    def _watch_reader(self) -> None:
        self._unsent = self.transport.get_write_buffer_size()
        self._start("reader", LOOK_EVERY_S, self._look_at_reader)

    def _look_at_reader(self) -> None:
        unsent = self.transport.get_write_buffer_size()
        if unsent and self._unsent - unsent < MIN_BYTES:
            self._let_go_of_app()
            self.transport.abort()
        elif unsent:
            self._watch_reader()

    # Both

    def _start(self, name: str, seconds: float, then: Callable[[], None]) -> None:
        self._stop(name)

        def run() -> None:
            self._timers.pop(name, None)
            then()

        self._timers[name] = self.loop.call_later(seconds, run)

    def _stop(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _refuse(self, status: HTTPStatus) -> None:
        """Say so, unless an answer is on its way, and hang up."""
        self._refused_for = status
        has_begun = any(cycle.response_started and not cycle.response_complete for cycle in self._at_work)
        self._let_go_of_app()
        if has_begun:
            self.transport.abort()
        else:
            self.send_400_response("")

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._at_work.append(cycle)
        super()._start_asgi_task(cycle, app)

    def _let_go_of_app(self) -> None:
        """Whatever it still says is for nobody, and it hears so; what it wrote after the end would be an error.

        With several requests sent at once, uvicorn's `cycle` is the last of them, and not the one that is answered.
        """
        for cycle in self._at_work:
            cycle.disconnected = True
            cycle.message_event.set()
        self._at_work.clear()
        self.flow.resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's words for what is no HTTP
        """The refusal, in the one shape; nothing was asked yet that an app could answer."""
        code, told = _CODES[self._refused_for]
        body = json.dumps(
            {"error": {"message": told, "type": "invalid_request_error", "param": None, "code": code}}
        ).encode()
        head = (
            f"HTTP/1.1 {self._refused_for} {self._refused_for.phrase}\r\n"
            "content-type: application/json\r\n"
            f"content-length: {len(body)}\r\n"
            "x-content-type-options: nosniff\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()
        if self.transport.get_write_buffer_size():
            self._watch_reader()
