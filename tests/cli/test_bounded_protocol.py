"""A real server, and clients that send too much, too slowly, or never read."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import repeat
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, StreamingResponse

from app.api import errors
from app.cli import bounded_protocol
from app.cli.bounded_protocol import BoundedProtocol
from app.main import Inkling
from tests.fakes import eventually

MIB = b"a" * 1024 * 1024


@pytest.fixture
def ended() -> list[str]:
    """What the app saw of requests that came to no end."""
    return []


@pytest.fixture
def app(ended: list[str]) -> FastAPI:
    made = Inkling(max_body_size=1_000_000)
    errors.install(made)
    made.state.runtime = None

    @made.post("/length")
    async def length(request: Request) -> int:
        try:
            return len(await request.body())
        except Exception as error:
            ended.append(type(error).__name__)
            raise

    @made.get("/headers")
    def headers(request: Request) -> int:
        return len(request.headers)

    @made.get("/large")
    def large() -> PlainTextResponse:
        return PlainTextResponse(MIB * 20)

    @made.get("/stream")
    def stream() -> StreamingResponse:
        return StreamingResponse(repeat(MIB))

    return made


@pytest.fixture
def address(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """Behind a server whose patience is a second."""
    monkeypatch.setattr(bounded_protocol, "HEAD_S", 1.0)
    monkeypatch.setattr(bounded_protocol, "LOOK_EVERY_S", 1.0)
    monkeypatch.setattr(errors, "_READ_AWAY_SILENCE_S", 0.3)
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=BoundedProtocol, ws="none", log_config=None, timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    yield server.servers[0].sockets[0].getsockname()
    eventually(lambda: not server.server_state.connections, 10)  # nothing is held for clients that misbehaved
    server.should_exit = True
    thread.join(20)


@contextmanager
def connected(address: tuple[str, int]) -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=20) as client:
        yield client


def answer_of(client: socket.socket) -> tuple[int, Any]:
    """The status and the JSON of what comes until the server hangs up."""
    found = b""
    while piece := _received(client):
        found += piece
    head, _, body = found.partition(b"\r\n\r\n")
    return int(head.split()[1]) if head else 0, json.loads(body) if body else None


def _received(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 16)
    except ConnectionResetError:  # it hung up on what was still being sent
        return b""


def refused(client: socket.socket) -> tuple[int, str]:
    status, body = answer_of(client)
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return status, body["error"]["code"]


def took(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.monotonic()
    return work(), time.monotonic() - started


def test_a_usual_request_passes(address: tuple[str, int]) -> None:
    with connected(address) as client:
        for _ in range(2):  # on one connection
            client.sendall(b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nabc")
            found = b""
            while not found.endswith(b"\r\n\r\n3"):
                found += client.recv(1000)


@pytest.mark.parametrize("count", [99, 100, 101, 10_000])
def test_headers_have_a_number(address: tuple[str, int], count: int) -> None:
    with connected(address) as client:
        more = b"".join(b"x-%d: 1\r\n" % number for number in range(count - 1))
        client.sendall(b"GET /headers HTTP/1.1\r\nconnection: close\r\n" + more + b"\r\n")
        if count <= 100:
            assert answer_of(client) == (200, count)
        else:
            assert refused(client) == (431, "head_too_large")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /headers HTTP/1.1\r\nx: " + b"a" * 70_000 + b"\r\n\r\n",
        b"GET /headers?" + b"a" * 70_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n",
        b"GET /headers HTTP/1.1\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"a" * 1500) for n in range(50)) + b"\r\n",
        b"GET /headers HTTP/1.1\r\nx: " + b"a" * 3_000_000,  # and no end
        b"GET /" + b"a" * 3_000_000,
    ],
    ids=["one header", "the address", "all headers", "a header without an end", "an address without an end"],
)
def test_a_head_has_a_size(address: tuple[str, int], head: bytes) -> None:
    with connected(address) as client:

        def send() -> None:
            with suppress(OSError):  # it hung up before all was sent
                client.sendall(head)

        sending = threading.Thread(target=send)
        sending.start()
        status, body = answer_of(client)
        sending.join(20)
        assert status in (431, 0)  # 0: the connection broke before the answer was read
        assert body is None or body["error"]["code"] == "head_too_large"


@pytest.mark.parametrize("begun", [b"", b"GET /headers HT", b"GET /headers HTTP/1.1\r\nhost: x\r\n", b"\r\n\r\n"])
def test_a_head_that_does_not_end_is_given_up(address: tuple[str, int], begun: bytes) -> None:
    with connected(address) as client:
        client.sendall(begun)
        (status, code), seconds = took(lambda: refused(client))
    assert (status, code) == (408, "request_timeout")
    assert 0.8 < seconds < 5


def test_nor_does_a_drop_now_and_then_keep_it_alive(address: tuple[str, int]) -> None:
    with connected(address) as client:
        started = time.monotonic()
        client.sendall(b"GET /headers HTTP/1.1\r\n")
        with suppress(OSError):
            while time.monotonic() - started < 10:
                client.sendall(b"x: 1\r\n")
                time.sleep(0.1)
        assert time.monotonic() - started < 5


@pytest.mark.parametrize("drops", [False, True], ids=["nothing", "a drop now and then"])
@pytest.mark.parametrize("length", [b"content-length: 900000", b"transfer-encoding: chunked"])
def test_a_body_that_does_not_come_is_given_up(
    address: tuple[str, int], ended: list[str], length: bytes, drops: bool
) -> None:
    with connected(address) as client:
        client.sendall(b"POST /length HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n")
        stop = threading.Event()

        def drip() -> None:
            while not stop.wait(0.1):
                try:
                    client.sendall(b"1\r\na\r\n")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        if drops:
            dripping.start()
        (status, code), seconds = took(lambda: refused(client))
        stop.set()
        if drops:
            dripping.join(5)
    assert (status, code) == (408, "request_timeout")
    assert 0.8 < seconds < 5
    eventually(lambda: ended == ["ClientDisconnect"])


def test_a_body_that_comes_slowly_but_steadily_is_taken(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.sendall(b"POST /length HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 300000\r\n\r\n")
        for _ in range(30):
            client.sendall(b"a" * 10_000)
            time.sleep(0.1)
        assert answer_of(client) == (200, 300_000)


def test_twenty_gigabytes_announced_and_never_sent_are_refused_at_once(address: tuple[str, int]) -> None:
    for expect in (b"", b"expect: 100-continue\r\n"):
        with connected(address) as client:
            client.sendall(b"POST /length HTTP/1.1\r\nhost: x\r\n" + expect + b"content-length: 20000000000\r\n\r\n")
            (status, code), seconds = took(lambda client=client: refused(client))
        assert (status, code) == (413, "too_large")
        assert seconds < 8  # the answer after one; then uvicorn waits for another request


@pytest.mark.parametrize("at_once", [1, 5])
@pytest.mark.parametrize("path", ["/large", "/stream"])
def test_who_reads_nothing_is_given_up(address: tuple[str, int], path: str, at_once: int) -> None:
    with connected(address) as client:
        client.sendall(b"GET %s HTTP/1.1\r\nhost: x\r\n\r\n" % path.encode() * at_once)
        time.sleep(3)
        size = 0
        while piece := _received(client):
            size += len(piece)
        assert size < 20 * len(MIB)


def test_who_reads_slowly_but_steadily_is_served(address: tuple[str, int]) -> None:
    with connected(address) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        size, started = 0, time.monotonic()
        while piece := client.recv(1 << 16):
            size += len(piece)
            if time.monotonic() - started < 4:
                time.sleep(0.02)
        assert size > 20 * len(MIB)


def test_what_is_no_request_is_told_in_the_one_shape(address: tuple[str, int]) -> None:
    for sent in (b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n"):
        with connected(address) as client:
            client.sendall(sent)
            assert refused(client) == (400, "bad_request")


def test_length_and_chunks_together_are_refused(address: tuple[str, int]) -> None:
    """Where a proxy believes one and we the other, a second request hides in the first."""
    with connected(address) as client:
        client.sendall(
            b"POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nG"
        )
        assert refused(client) == (400, "bad_request")
