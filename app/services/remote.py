"""The OpenAI-compatible server that generates in place of this process: one client, whole answers and streams.

Knows addresses, bytes and server-sent events; knows no prompt and no token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any

import httpx
from pydantic_core import from_json

from app.errors import AppError, RemoteFailed
from app.log import get_logger
from app.services import tracing
from app.services.remote_refusals import in_words, refusal_of, stream_failure, unreadable
from app.services.server_events import MAX_EVENT_BYTES, EventReader, EventTooLong

log = get_logger(__name__)

CONNECT_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 3.0
KEEP_S = 2.0
"""How long an unused connection is kept: less than servers do (uvicorn 5 s), or one would be used while it closes."""
MAX_UNREAD_EVENTS = 256
"""Events that may wait for our reader; beyond, the remote waits, too."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
"""More than any answer is: 2,048 vectors of 4,096 numbers as OpenAI's client asks for them are 45 MB."""
MAX_READ_BYTES = 4 * 1024 * 1024
"""Whole answers up to which it is seen whether they are JSON, which takes 0.1 s while all else waits."""
DONE = "[DONE]"

Fields = Mapping[str, Any]


class Remote:
    """Requests to one server. For one event loop; `close` ends what is under way."""

    def __init__(self, url: str, api_key: str, timeout_s: float) -> None:
        """Know the server whose routes begin at `url`. Nothing is sent yet.

        Args:
            api_key: sent as a bearer token; empty for none.
            timeout_s: after so long a request ends, whatever came.
        """
        self._url, self._secret, self._timeout_s = url, api_key, timeout_s
        self._client = httpx.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(None, connect=CONNECT_TIMEOUT_S),  # a request as a whole has its own limit
            limits=httpx.Limits(max_connections=None, keepalive_expiry=KEEP_S),  # the queue is the remote's
            trust_env=False,  # the environment is read in one place alone
            event_hooks={"request": [_in_our_trace]},
        )
        self._asking = 0
        self._streams: set[RemoteStream] = set()

    @property
    def is_idle(self) -> bool:
        return not self._asking and not self._streams

    async def ask(self, method: str, path: str, body: Fields | None = None, *, at_root: bool = False) -> bytes:
        """One whole answer, a JSON object, as it came.

        Args:
            path: behind the address, as `/models`.
            at_root: it is behind the address without its `/v1`.

        Raises:
            RemoteRefused, RemoteFailed, RemoteUnavailable, RemoteTimeout: there is none.
        """
        url = self._url.removesuffix("/v1") if at_root else self._url
        return await self._ask(self._client.build_request(method, url + path, json=body), self._timeout_s)

    async def problem(self) -> str | None:
        """Why the remote cannot be used now; None if it can."""
        try:
            await self._ask(self._client.build_request("GET", f"{self._url}/models"), PROBE_TIMEOUT_S)
        except AppError as error:
            return error.message
        return None

    def stream(self, path: str, body: Fields) -> RemoteStream:
        """Begin to ask for an answer in events. Called in the event loop."""
        request = self._client.build_request("POST", self._url + path, json=body)
        stream = RemoteStream(self._client, request, self._secret, self._timeout_s, self._streams.discard)
        self._streams.add(stream)
        return stream

    async def close(self) -> None:
        """End all streams and give the connections back."""
        streams = list(self._streams)
        for stream in streams:
            stream.close()
        await asyncio.gather(*(stream.ended() for stream in streams))
        await self._client.aclose()

    async def _ask(self, request: httpx.Request, timeout_s: float) -> bytes:
        self._asking += 1
        try:
            with in_words(timeout_s):
                async with asyncio.timeout(timeout_s):
                    response = await self._client.send(request, stream=True)
                    try:
                        content = await _whole(response)
                    finally:
                        await response.aclose()
        finally:
            self._asking -= 1
        if not response.is_success:
            raise refusal_of(response, content, self._secret)
        _check_object(content)
        return content


async def _in_our_trace(request: httpx.Request) -> None:
    """Have the other server's spans stand under ours, where we make any."""
    span = tracing.traceparent()
    if span is not None:
        request.headers["traceparent"] = span


class RemoteStream:
    """One answer in events, read by a task of its own: `close` ends the task, and with it the connection."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        request: httpx.Request,
        secret: str,
        timeout_s: float,
        on_end: Callable[[RemoteStream], None],
    ) -> None:
        """Send `request` at once; `on_end` is called when its connection is given back."""
        self._client, self._secret, self._timeout_s, self._on_end = client, secret, timeout_s, on_end
        self._accepted = asyncio.Event()
        self._refusal: Exception | None = None
        self._items: asyncio.Queue[str | Exception | None] = asyncio.Queue(MAX_UNREAD_EVENTS)
        self._task = asyncio.create_task(self._run(request))
        self._task.add_done_callback(self._note_end)

    async def accepted(self) -> None:
        """Wait until the remote has taken the request, or has not.

        Raises:
            RemoteRefused, RemoteFailed, RemoteUnavailable, RemoteTimeout: it has not.
        """
        await self._accepted.wait()
        if self._refusal is not None:
            raise self._refusal

    async def events(self) -> AsyncGenerator[str, None]:
        """The data of each event, up to `[DONE]`, as soon as it is there.

        Raises:
            AppError: as `accepted`; or the remote failed, broke off, or took too long in the middle.
        """
        await self.accepted()
        while (item := await self._items.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item

    def close(self) -> None:
        """Hang up. Safe to call at any time, more than once."""
        self._task.cancel()

    async def ended(self) -> None:
        """Wait until the connection is given back."""
        await asyncio.gather(self._task, return_exceptions=True)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Whoever still reads a stream that was hung up must not wait for ever."""
        if task.cancelled():
            while not self._items.empty():
                self._items.get_nowait()
            self._items.put_nowait(RemoteFailed("the generation backend was hung up on"))
            self._accepted.set()
        self._on_end(self)

    async def _run(self, request: httpx.Request) -> None:
        try:
            with in_words(self._timeout_s):
                async with asyncio.timeout(self._timeout_s):
                    await self._read(request)
            last: Exception | None = None
        except AppError as error:
            last = error
        except Exception as error:  # whatever it was, who reads must hear of it
            log.error("remote_stream_broke", exc_info=error)
            last = error
        if not self._accepted.is_set():
            self._refusal = last
            self._accepted.set()
        await self._items.put(last)

    async def _read(self, request: httpx.Request) -> None:
        response = await self._client.send(request, stream=True)
        try:
            if not response.is_success:
                raise refusal_of(response, await _whole(response), self._secret)
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise unreadable("one piece where a stream was asked for")
            self._accepted.set()
            async for data in _events(response.aiter_bytes()):
                if data == DONE:
                    return
                failure = stream_failure(data, self._secret) if '"error"' in data else None
                if failure is not None:
                    raise failure
                await self._items.put(data)
        finally:
            await response.aclose()
        raise RemoteFailed("the generation backend ended its answer before the text had an end")


async def _whole(response: httpx.Response) -> bytes:
    """All that is answered.

    Raises:
        RemoteFailed: it is more than `MAX_ANSWER_BYTES`.
    """
    pieces, size = list[bytes](), 0
    async for piece in response.aiter_bytes():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise unreadable(f"more than {MAX_ANSWER_BYTES:,} bytes")
        pieces.append(piece)
    return b"".join(pieces)


def _check_object(content: bytes) -> None:
    """Pass a JSON object. Of one longer than `MAX_READ_BYTES` only its two ends are looked at.

    Raises:
        RemoteFailed: it is none, or a part of one.
    """
    bare = content.strip()
    is_object = bare.startswith(b"{") and bare.endswith(b"}")
    if is_object and len(bare) <= MAX_READ_BYTES:
        try:
            from_json(bare)
        except ValueError:
            is_object = False
    if not is_object:
        raise unreadable("something that is no JSON object")


async def _events(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """The data of each server-sent event.

    Raises:
        RemoteFailed: an event does not end within `MAX_EVENT_BYTES`.
    """
    reader = EventReader(MAX_EVENT_BYTES)
    try:
        async for chunk in chunks:
            for data in reader.push(chunk):
                yield data
    except EventTooLong as error:
        raise unreadable(str(error)) from error
