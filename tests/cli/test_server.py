"""A server that is told to end: running generations finish, new requests are sent away."""

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from app.cli.server import DrainingServer, config_of
from app.config import Settings
from app.main import create_app
from app.services import keys
from tests.fakes import ScriptedModel, eventually, greedy, scripted_runtime
from tests.locked import locked
from tests.plain_openai import PlainOpenAI, text_chunk
from tests.serving import app_of, served


def started(settings, database, network, drain_s):
    runtime = scripted_runtime(settings, database, network)
    app = app_of(runtime)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, lifespan="on", log_config=None, timeout_graceful_shutdown=1)
    server = DrainingServer(config, app, drain_s, lambda: None)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    return runtime, server, thread, f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextmanager
def locked_server(settings: Settings) -> Iterator[tuple[str, str]]:
    """The service as `inkling serve` serves it: its address, and a key."""
    app = create_app(settings)
    server = DrainingServer(config_of(settings, app), app, 0, lambda: None)
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    eventually(lambda: server.started)
    with app.state.runtime.database.write() as session:
        secret = keys.create(session, "person").secret
    yield f"http://127.0.0.1:{listener.getsockname()[1]}", secret
    server.should_exit = True
    thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("trusted", "said", "is_secure"),
    [
        ("127.0.0.1,::1", "https", True),
        ("127.0.0.0/8", "https", True),
        ("127.0.0.1", "http", False),
        ("10.0.0.0/8", "https", False),
        ("none", "https", False),
    ],
)
def test_the_cookie_is_secure_where_a_trusted_proxy_says_so(
    tmp_path: Path, trusted: str, said: str, is_secure: bool
) -> None:
    settings = locked(tmp_path / "data").model_copy(update={"trusted_proxies": trusted})
    with locked_server(settings) as (url, secret):
        answer = httpx.post(f"{url}/ui/sign-in", data={"key": secret}, headers={"x-forwarded-proto": said})
    assert answer.status_code == 303
    assert ("; Secure" in answer.headers["set-cookie"]) == is_secure


def test_what_runs_ends_and_what_comes_is_refused(settings, database):
    network = ScriptedModel("x" * 60, pass_s=0.02)
    runtime, server, thread, url = started(settings, database, network, drain_s=20)
    with (
        httpx.Client(timeout=30) as client,
        httpx.Client(timeout=30) as other,
        client.stream("POST", f"{url}/generate", json=greedy(stream=True)) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        server.should_exit = True
        time.sleep(0.2)
        refused = other.post(f"{url}/generate", json=greedy())
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "not_ready"
        assert int(refused.headers["retry-after"]) > 0
        assert other.get(f"{url}/healthz").status_code == 200
        assert other.get(f"{url}/readyz").status_code == 503
        rest = list(lines)
    assert '"finish_reason":"stop"' in "".join(rest)
    assert rest[-2:] == ["data: [DONE]", ""]
    thread.join(10)
    assert not thread.is_alive()
    runtime.models.close()


def test_the_waiting_has_a_limit(settings, database):
    network = ScriptedModel(ending=65, pass_s=0.05)
    runtime, server, thread, url = started(settings, database, network, drain_s=0.3)
    with (
        httpx.Client(timeout=30) as client,
        client.stream("POST", f"{url}/generate", json=greedy(stream=True)) as answer,
    ):
        lines = answer.iter_lines()
        next(lines)
        server.should_exit = True
        begun = time.monotonic()
        rest = list(lines)
        assert '"finish_reason":"abort"' in "".join(rest)
        assert rest[-2:] == ["data: [DONE]", ""]
        thread.join(10)
        assert not thread.is_alive()
        assert 0.3 <= time.monotonic() - begun < 5
    runtime.models.close()


def test_a_whole_answer_has_what_was_written_in_time(settings, database):
    network = ScriptedModel(ending=65, pass_s=0.05)
    runtime, server, thread, url = started(settings, database, network, drain_s=0.3)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(httpx.post, f"{url}/generate", json=greedy(), timeout=30)
        eventually(lambda: not runtime.is_idle)
        server.should_exit = True
        answer = asked.result()
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["finish_reason"] == "abort"
    thread.join(10)
    assert not thread.is_alive()
    runtime.models.close()


def test_what_another_server_writes_beyond_the_limit_is_told_as_failed(settings, database):
    plain = PlainOpenAI()
    plain.streams_for_ever("/v1/completions", text_chunk("a"))
    with served(plain.app) as port:
        fields = settings.model_copy(update={"generation_backend": f"http://127.0.0.1:{port}"})
        runtime, server, thread, url = started(fields, database, ScriptedModel(), drain_s=0.3)
        body = {"prompt": "a", "model": "m", "stream": True}
        with httpx.Client(timeout=30) as client, client.stream("POST", f"{url}/generate", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.should_exit = True
            rest = list(lines)
        assert "hung up" in "".join(rest)
        thread.join(10)
        assert not thread.is_alive()
        runtime.models.close()


def test_what_another_server_writes_is_waited_for(settings, database):
    plain = PlainOpenAI()
    plain.streams_for_ever("/v1/completions", text_chunk("a"))
    with served(plain.app) as port:
        remote = {"generation_backend": f"http://127.0.0.1:{port}", "request_timeout_s": 1.0}
        fields = settings.model_copy(update=remote)
        runtime, server, thread, url = started(fields, database, ScriptedModel(), drain_s=20)
        body = {"prompt": "a", "model": "m", "stream": True}
        with httpx.Client(timeout=30) as client, client.stream("POST", f"{url}/generate", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            server.should_exit = True
            rest = list(lines)
        assert '"finish_reason":"abort"' in "".join(rest)
        thread.join(10)
        assert not thread.is_alive()
        assert runtime.is_idle
        runtime.models.close()
