"""The one way out to addresses that a stranger may have chosen: hubs, public sets, webhooks, judges.

A name is resolved once, each of its addresses is judged, and the connection goes to one that was judged: a name
that answers otherwise a moment later leads nowhere else. So it goes with each redirect, where those are followed.
No proxy of the environment, no cookie, nothing compressed, and a limit on bytes and time of every answer.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass

import httpx2

from app.config import Settings
from app.services.addresses import DEFAULT_PORTS, Address, Unreachable, parts_of, resolved, soon_resolved

TOTAL_S = 15.0
LOOK_EVERY_S = 0.2
MAX_REDIRECTS = 5
HOW_TO_ALLOW = "INKLING_FETCH_PRIVATE_ADDRESSES=true allows a server of one's own network"
OWN_HEADERS = {"User-Agent": "inkling", "Accept-Encoding": "identity"}
"""A small answer that is compressed may unpack to a large one, and a range of one is another range."""
_ONE_NAME_EACH = httpx2.Limits(max_keepalive_connections=0)  # TLS was agreed on for the name that was asked for


@dataclass(frozen=True)
class Way:
    """How a fetch may go."""

    private: bool = False
    """Whether to addresses of private networks, and of this machine."""
    proxy: str = ""
    """Through this proxy, which resolves names in our place; empty: through none."""

    @classmethod
    def of(cls, settings: Settings) -> Way:
        """As models and public sets are fetched."""
        return cls(settings.fetch_private_addresses, settings.fetch_proxy)


DIRECTLY = Way()
"""To public addresses."""


@dataclass(frozen=True)
class Bounds:
    """Of an answer; each hop of a redirect has its own."""

    max_bytes: int
    total_s: float
    silent_s: float = 10.0  # nothing came for so long


def client(way: Way, bounds: Bounds) -> httpx2.Client:
    """What fetches, following redirects, each of which is judged anew.

    What it does raises, beside httpx2's own errors:
        BadAddress: an address, the first one or a redirect's, leads where it must not.
        Unreachable: a name has no address, or an answer goes beyond its bounds.
    """
    return httpx2.Client(
        transport=_Judging(way, bounds),
        trust_env=False,
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=bounds.silent_s,
        headers=OWN_HEADERS,
    )


class _Judging(httpx2.HTTPTransport):
    """Connects to addresses that were judged, and bounds what comes."""

    def __init__(self, way: Way, bounds: Bounds) -> None:
        super().__init__(trust_env=False, limits=_ONE_NAME_EACH, proxy=way.proxy or None)
        self._way, self._bounds = way, bounds

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        until = time.monotonic() + self._bounds.total_s
        answer = self._answer(request)
        if answer.headers.get("content-encoding", "identity") != "identity":
            answer.close()
            raise Unreachable("it answered in a compressed form that was not asked for")
        assert isinstance(answer.stream, httpx2.SyncByteStream)
        bounded = _Bounded(answer.stream, self._bounds, until)
        return httpx2.Response(answer.status_code, headers=answer.headers, stream=bounded, extensions=answer.extensions)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        if self._way.proxy:
            return super().handle_request(request)
        host, port = _place(request)
        *others, last = resolved(host, port, private=self._way.private)
        for address in others:
            try:
                return super().handle_request(_to(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue  # nothing of the request was sent
        return super().handle_request(_to(request, last))


class _Bounded(httpx2.SyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream, bounds: Bounds, until: float) -> None:
        self._stream, self._bounds, self._until = stream, bounds, until

    def __iter__(self) -> Iterator[bytes]:
        left = self._bounds.max_bytes
        for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise Unreachable(f"it answered more than {self._bounds.max_bytes:,} bytes")
            if time.monotonic() > self._until:
                raise Unreachable(f"its answer was not whole after {self._bounds.total_s:,.0f} s")
            yield piece

    def close(self) -> None:
        self._stream.close()


def post(url: str, body: bytes, headers: dict[str, str], *, private: bool, total_s: float = TOTAL_S) -> int:
    """Send `body`, and give the status of the answer; nothing else of it is read, and no redirect followed.

    Raises:
        BadAddress: as `addresses.check`, judged anew.
        Unreachable: there was no answer within `total_s` seconds.
    """
    return asyncio.run(_post(url, body, headers, private, Bounds(0, total_s))).status


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: bytes


def ask(
    url: str,
    body: bytes,
    headers: dict[str, str],
    *,
    private: bool,
    total_s: float,
    max_bytes: int,
    waiting: Callable[[], None],
) -> Answer:
    """As `post`, with what is answered.

    Args:
        waiting: called a few times a second until the answer is there; what it raises ends the request.

    Raises:
        BadAddress: as `addresses.check`, judged anew.
        Unreachable: there was no answer within `total_s` seconds, or it has more than `max_bytes` bytes.
    """
    return asyncio.run(_watched(_post(url, body, headers, private, Bounds(max_bytes, total_s)), waiting))


async def _watched(asking: Coroutine[None, None, Answer], waiting: Callable[[], None]) -> Answer:
    task = asyncio.create_task(asking)
    while not (await asyncio.wait({task}, timeout=LOOK_EVERY_S))[0]:
        waiting()  # where it raises, asyncio.run() cancels the task
    return task.result()


async def _post(url: str, body: bytes, headers: dict[str, str], private: bool, bounds: Bounds) -> Answer:
    parts_of(url)
    named = OWN_HEADERS | {"Content-Type": "application/json"} | headers
    try:
        async with (
            asyncio.timeout(bounds.total_s),
            httpx2.AsyncClient(transport=_SoonJudging(private), trust_env=False, timeout=bounds.total_s) as asking,
            asking.stream("POST", url, content=body, headers=named) as answer,
        ):
            return Answer(answer.status_code, await _read(answer, bounds.max_bytes) if bounds.max_bytes else b"")
    except TimeoutError as error:
        raise Unreachable(f"no answer within {bounds.total_s:g} s") from error
    except (httpx2.HTTPError, httpx2.InvalidURL) as error:
        raise Unreachable(f"{type(error).__name__}: {error}"[:300]) from error


class _SoonJudging(httpx2.AsyncHTTPTransport):
    """As `_Judging`, for one answer that is awaited; its bounds are kept where it is read."""

    def __init__(self, private: bool) -> None:
        super().__init__(trust_env=False)
        self._private = private

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        host, port = _place(request)
        *others, last = await soon_resolved(host, port, private=self._private)
        for address in others:
            try:
                return await super().handle_async_request(_to(request, address))
            except (httpx2.ConnectError, httpx2.ConnectTimeout):
                continue
        return await super().handle_async_request(_to(request, last))


async def _read(answer: httpx2.Response, max_bytes: int) -> bytes:
    found = bytearray()
    pieces: AsyncIterator[bytes] = answer.aiter_raw()
    async for piece in pieces:
        found += piece
        if len(found) > max_bytes:
            raise Unreachable(f"it answered more than {max_bytes:,} bytes")
    return bytes(found)


def _place(request: httpx2.Request) -> tuple[str, int]:
    scheme = request.url.scheme
    if scheme not in DEFAULT_PORTS:
        raise httpx2.UnsupportedProtocol("an http:// or https:// address is expected", request=request)
    return request.url.host, request.url.port or DEFAULT_PORTS[scheme]


def _to(request: httpx2.Request, address: Address) -> httpx2.Request:
    """The request to one address of its name. The name stays in its head, and is what TLS asks for and verifies."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": request.url.host},
    )
