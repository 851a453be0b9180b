import json
import threading
from collections.abc import Iterator

import pytest
from anyio import CapacityLimiter, create_task_group, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient

from app.api import errors
from app.api.pieces import LongWorkDep, answer
from app.errors import InvalidRequest


class Counted:
    """Pieces that know how many threads make some at the same moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._now = 0
        self.most = 0

    def pieces(self) -> Iterator[bytes]:
        for piece in (b"[1", b",2", b",3]"):
            with self._lock:
                self._now += 1
                self.most = max(self.most, self._now)
            threading.Event().wait(0.01)
            with self._lock:
                self._now -= 1
            yield piece


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = FastAPI()
    errors.install(app)
    app.state.long_work = CapacityLimiter(2)
    app.state.counted = Counted()

    @app.get("/numbers")
    async def numbers(request: Request, is_long: bool, long_work: LongWorkDep) -> Response:
        return await answer(request.app.state.counted.pieces, is_long=is_long, long_work=long_work)

    @app.get("/refused")
    async def refused(is_long: bool, long_work: LongWorkDep) -> Response:
        def begin() -> Iterator[bytes]:
            raise InvalidRequest("not this")

        return await answer(begin, is_long=is_long, long_work=long_work)

    with TestClient(app) as made:
        yield made


@pytest.mark.parametrize("is_long", [True, False])
def test_short_and_long_answers_say_the_same(client, is_long):
    response = client.get("/numbers", params={"is_long": is_long})
    assert (response.status_code, response.json()) == (200, [1, 2, 3])
    assert response.headers["content-type"] == "application/json"
    assert ("content-length" in response.headers) != is_long


@pytest.mark.parametrize("is_long", [True, False])
def test_a_refusal_comes_before_any_answer(client, is_long):
    response = client.get("/refused", params={"is_long": is_long})
    assert (response.status_code, response.json()["error"]["message"]) == (422, "not this")


def test_few_threads_work_on_long_answers_however_many_ask():
    counted = Counted()
    bodies: list[bytes] = []

    async def ask(limiter: CapacityLimiter) -> None:
        response = await answer(counted.pieces, is_long=True, long_work=limiter)
        bodies.append(b"".join([piece async for piece in response.body_iterator]))

    async def main() -> None:
        limiter = CapacityLimiter(2)
        async with create_task_group() as group:
            for _ in range(10):
                group.start_soon(ask, limiter)
        assert to_thread.current_default_thread_limiter().borrowed_tokens == 0

    import anyio

    anyio.run(main)
    assert [json.loads(body) for body in bodies] == [[1, 2, 3]] * 10
    assert counted.most <= 2
