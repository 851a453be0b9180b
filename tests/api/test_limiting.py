"""Shares of a minute and of what is written at once: 429 beyond, and what is left said before."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import openai
import pytest
from fastapi.testclient import TestClient

from app.api.limiting import NOT_COUNTED, Limiting, subject_of
from app.config import Settings
from app.db.session import Database
from app.main import create_app
from app.services import keys, limits
from app.services.runtime import Runtime
from tests.fakes import ScriptedModel, eventually, greedy, scripted_runtime
from tests.locked import locked
from tests.serving import app_of, served


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Keys are required, and three requests a minute are allowed."""
    with TestClient(create_app(locked(tmp_path / "data").model_copy(update={"limit_requests": 3}))) as made:
        yield made


def bearer(client: TestClient, name: str) -> dict[str, str]:
    with client.app.state.runtime.database.write() as session:
        made = keys.create(session, name, ["admin"])
    return {"authorization": f"Bearer {made.secret}"}


def test_each_key_has_its_share_and_is_told_what_is_left(client: TestClient) -> None:
    first, second = bearer(client, "first"), bearer(client, "second")
    for left in (2, 1, 0):
        answer = client.get("/datasets", headers=first)
        assert answer.status_code == 200
        assert answer.headers["ratelimit-policy"] == '"requests";q=3;w=60'
        assert answer.headers["ratelimit"].startswith(f'"requests";r={left};t=')
        assert "x-ratelimit-limit-requests" not in answer.headers
    refused = client.get("/datasets", headers=first)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert refused.headers["ratelimit"].startswith('"requests";r=0;t=')
    assert client.get("/datasets", headers=second).status_code == 200
    assert b'inkling_over_limit_total{limit="requests"} 1.0' in client.get("/metrics", headers=first).content


def test_openais_api_tells_it_in_openais_words_too(client: TestClient) -> None:
    answer = client.get("/v1/models", headers=bearer(client, "one"))
    assert answer.headers["x-ratelimit-limit-requests"] == "3"
    assert answer.headers["x-ratelimit-remaining-requests"] == "2"
    assert answer.headers["x-ratelimit-reset-requests"].endswith("s")


def test_watching_and_files_are_not_counted(client: TestClient) -> None:
    key = bearer(client, "one")
    for path in (*NOT_COUNTED, "/static/js/api.js"):
        for _ in range(5):
            answer = client.get(path, headers=key)
            assert answer.status_code in (200, 503)
            assert "ratelimit" not in answer.headers
    assert client.get("/datasets", headers=key).headers["ratelimit"].startswith('"requests";r=2')


def test_a_refused_request_reads_no_body(client: TestClient) -> None:
    key = bearer(client, "one")
    for _ in range(3):
        client.get("/datasets", headers=key)

    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    async def ask() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(client.app), base_url="http://localhost") as asking:
            return await asking.post("/datasets", headers=key, content=body())

    assert client.portal
    assert client.portal.call(ask).status_code == 429


def test_without_limits_nothing_is_counted(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"}))
    assert [each for each in app.user_middleware if each.cls is Limiting] == []


@pytest.mark.parametrize(
    ("host", "subject"),
    [
        ("192.0.2.7", "address:192.0.2.7"),
        ("::ffff:192.0.2.7", "address:192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "address:20010db800010002::"),
        ("2001:db8:1:2::1", "address:20010db800010002::"),
        ("testclient", "address:testclient"),
    ],
)
def test_who_is_counted_where_there_is_no_key(host: str, subject: str) -> None:
    assert subject_of({"client": (host, 1)}) == subject
    assert subject_of({"client": (host, 1), "state": {"caller": keys.Caller("key_1", frozenset())}}) == "key:key_1"


def limited_app(runtime: Runtime):
    app = app_of(runtime)
    app.add_middleware(Limiting)
    return app


@pytest.fixture
def limited(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator:
    """A real server around a scripted network, whose minutes have three seconds; makes its address and runtime."""
    monkeypatch.setattr(limits, "WINDOW_S", 3)
    monkeypatch.setattr("app.api.limiting.WINDOW_S", 3)
    opened = []

    def make(network: ScriptedModel, **fields: object) -> tuple[str, Runtime]:
        runtime = scripted_runtime(settings.model_copy(update=fields), database, network)
        server = served(limited_app(runtime))
        port = server.__enter__()
        opened.append((server, runtime))
        return f"http://127.0.0.1:{port}", runtime

    yield make
    for server, runtime in opened:
        server.__exit__(None, None, None)
        runtime.models.close()


def test_openais_client_waits_and_comes_again(limited) -> None:
    """By the header that says when: its own pauses, of half a second at first, would be over too soon."""
    url, runtime = limited(ScriptedModel("né 👍!", margin=20.0), limit_requests=2)
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=1) as client:
        client.models.list()
        client.models.list()
        started = time.monotonic()
        assert client.completions.create(model="smollm2-135m-instruct", prompt="Once", max_tokens=3).choices
        assert 0.5 < time.monotonic() - started < 10
    over = runtime.models.metrics.over_limit.labels("requests")._value.get()
    assert over == 1
    with openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as hasty:
        with pytest.raises(openai.RateLimitError) as caught:
            [hasty.models.list() for _ in range(4)]
        assert caught.value.code == "rate_limit_exceeded"


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_of_prompt_and_answer_are_counted(limited, stream: bool) -> None:
    url, _ = limited(ScriptedModel("x" * 8), limit_tokens=13)
    with httpx.Client(base_url=url, timeout=30) as client:
        first = client.post("/generate", json=greedy(max_new_tokens=8, stream=stream))  # of 4 + 8 tokens
        assert first.status_code == 200
        assert first.headers["ratelimit"].startswith('"tokens";r=13;t=')

        def left() -> str:
            return client.post("/generate", json={"prompt": 1}).headers["ratelimit"].split(";")[1]

        eventually(lambda: left() == "r=1")
        assert client.post("/generate", json=greedy(max_new_tokens=8, stream=stream)).status_code == 200
        eventually(lambda: left() == "r=0")
        refused = client.post("/generate", json=greedy())
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert client.post("/tokenize", json={"text": "free"}).status_code != 429
        time.sleep(3.1)
        assert client.post("/generate", json=greedy(max_new_tokens=1)).status_code == 200


def test_so_many_answers_are_written_at_once_and_no_more(limited) -> None:
    url, runtime = limited(ScriptedModel("x" * 200, pass_s=0.02), limit_streams=2)
    done, begun = threading.Event(), [threading.Event() for _ in range(2)]

    def follow(is_begun: threading.Event) -> None:
        with httpx.stream("POST", f"{url}/generate", json=greedy(stream=True), timeout=30) as answer:
            for _ in answer.iter_lines():
                if answer.status_code == 200:
                    is_begun.set()
                if done.is_set():
                    return

    threads = [threading.Thread(target=follow, args=(each,)) for each in begun]
    for thread, is_begun in zip(threads, begun, strict=True):
        thread.start()
        assert is_begun.wait(10)
    refused = httpx.post(f"{url}/v1/completions", json={"model": "m", "prompt": "Once"}, timeout=30)
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(refused.headers["retry-after"]) > 0
    assert httpx.get(f"{url}/models", timeout=30).status_code == 200
    done.set()
    for thread in threads:
        thread.join(30)

    def is_free() -> bool:
        return httpx.post(f"{url}/generate", json=greedy(max_new_tokens=1), timeout=30).status_code == 200

    eventually(is_free)
    assert runtime.models.metrics.over_limit.labels("streams")._value.get() >= 1
