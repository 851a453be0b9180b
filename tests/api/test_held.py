"""Answers that hold memory: a few at a time, in turn, and the place given back however it ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from app.api import errors, held
from app.errors import InvalidRequest
from app.services.inspection import Abandoned
from tests.fakes import eventually
from tests.serving import served


class Work:
    """What a route holds while it answers; counted."""

    def __init__(self) -> None:
        self.held = self.most_held = self.done = self.abandoned = 0
        self.lock = threading.Lock()
        self.may_end = threading.Event()
        self.piece, self.pieces = b"x" * 1000, 3

    def begin(self, is_wanted: Callable[[], bool]) -> Iterator[bytes]:
        with self.lock:
            self.held += 1
            self.most_held = max(self.most_held, self.held)
        while not self.may_end.wait(0.005):
            if not is_wanted():
                with self.lock:
                    self.held -= 1
                    self.abandoned += 1
                raise Abandoned
        return self.told()

    def told(self) -> Iterator[bytes]:
        try:
            for _ in range(self.pieces):
                yield self.piece
        finally:
            with self.lock:
                self.held -= 1
                self.done += 1


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def places() -> held.Places:
    return held.Places(2)


@pytest.fixture
def port(work: Work, places: held.Places) -> Iterator[int]:
    app = FastAPI()
    errors.install(app)

    @app.get("/work")
    async def _work(request: Request) -> Response:
        return await held.answer(work.begin, request, places, most_waiting=4)

    @app.get("/refused")
    async def _refused(request: Request) -> Response:
        def refuse(_: Callable[[], bool]) -> Iterator[bytes]:
            raise InvalidRequest("no", param="x")

        return await held.answer(refuse, request, places, most_waiting=4)

    with served(app) as number:
        yield number


def free(places: held.Places) -> int:
    return places._free._value


def test_few_are_held_the_others_wait_and_more_are_refused(port: int, work: Work, places: held.Places) -> None:
    def ask() -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{port}/work", timeout=20)

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask) for _ in range(6)]
        eventually(lambda: places.waiting == 4)
        refused = ask()
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "queue_full")
        assert refused.headers["retry-after"] == "5"
        work.may_end.set()
        assert {(each.result().status_code, len(each.result().content)) for each in asked} == {(200, 3000)}
    assert (work.most_held, work.done, work.held) == (2, 6, 0)
    eventually(lambda: free(places) == 2)


def hang_up(port: int) -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(b"GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
    return client


def test_a_client_that_hangs_up_ends_the_work_or_leaves_the_queue(port: int, work: Work, places: held.Places) -> None:
    clients = [hang_up(port) for _ in range(3)]
    eventually(lambda: (work.held, places.waiting) == (2, 1))
    for client in reversed(clients):
        client.close()
        time.sleep(0.05)
    eventually(lambda: (work.held, places.waiting, free(places)) == (0, 0, 2))
    assert (work.abandoned, work.done) == (2, 0)


def test_a_client_that_hangs_up_or_stalls_while_it_is_answered(
    port: int, work: Work, places: held.Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    work.piece, work.pieces = b"x" * 1_000_000, 1000
    work.may_end.set()
    with hang_up(port) as client:
        assert client.recv(1000)
    eventually(lambda: free(places) == 2)
    assert (work.held, work.done) == (0, 1)
    monkeypatch.setattr(held, "SEND_TIMEOUT_S", 0.1)
    with hang_up(port) as client:
        assert client.recv(1000)
        eventually(lambda: (work.done, free(places)) == (2, 2))


def test_a_refusal_gives_its_place_back(port: int, places: held.Places) -> None:
    for _ in range(3):
        answer = httpx.get(f"http://127.0.0.1:{port}/refused")
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "x")
    assert free(places) == 2
