"""Names that are ours, and those of other sites that lead here."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import httpx
import pytest

from app.config import Settings
from app.main import create_app
from tests.locked import locked


def asked(settings: Settings, *hosts: str, path: str = "/nowhere") -> httpx.Response:
    """A request with these headers Host and no other."""

    async def ask() -> httpx.Response:
        request = httpx.Request("GET", f"http://127.0.0.1{path}")
        request.headers = httpx.Headers([(b"host", host.encode()) for host in hosts])
        answer = await httpx.ASGITransport(create_app(settings)).handle_async_request(request)
        await answer.aread()
        return answer

    return anyio.run(ask)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return locked(tmp_path / "data").model_copy(
        update={"host": "box.lan", "require_keys": "false", "allowed_hosts": "web, *.inkling.example"}
    )


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "a.localhost:8000",
        "127.0.0.1:8000",
        "10.1.2.3",
        "[::1]:8000",
        "[fe80::1]",
        "box.lan:80",
        "web",
        "web:8000",
        "one.inkling.example",
        socket.gethostname(),
        f"{socket.gethostname()}.local:8000",
    ],
)
def test_our_own_names_and_addresses_are_taken(settings: Settings, host: str) -> None:
    assert asked(settings, host).status_code == 404


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "box.lan.evil.example",
        "inkling.example",
        "evilinkling.example",
        "testserver",
    ],
)
@pytest.mark.parametrize("path", ["/nowhere", "/healthz", "/metrics", "/static/js/api.js"])
def test_others_are_refused_wherever_they_lead(settings: Settings, host: str, path: str) -> None:
    answer = asked(settings, host, path=path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "unknown_host")
    assert "INKLING_ALLOWED_HOSTS" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "hosts",
    [[], [""], ["localhost", "localhost"], ["a b"], ["localhost@evil.example"], ["localhost/x"], ["[::1"], ["é"]],
    ids=str,
)
def test_what_names_none_is_a_bad_request(settings: Settings, hosts: list[str]) -> None:
    answer = asked(settings, *hosts)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_a_star_takes_all(settings: Settings) -> None:
    any_host = settings.model_copy(update={"allowed_hosts": "*"})
    assert asked(any_host, "evil.example").status_code == 404
