"""What pages of other sites may do: nothing that changes anything, and read nothing, unless a setting says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from app.services import keys
from tests.locked import locked
from tests.routes import ways

FRIEND = "https://chat.example"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """No keys are required: what a person's own machine runs is what other sites would like to reach."""
    with TestClient(create_app(locked(tmp_path / "data").model_copy(update={"require_keys": "false"}))) as made:
        yield made


@pytest.fixture
def befriended(tmp_path: Path) -> Iterator[TestClient]:
    """Keys are required, and one origin is allowed."""
    settings = locked(tmp_path / "data").model_copy(update={"allowed_origins": f"{FRIEND}, http://other.example"})
    with TestClient(create_app(settings)) as made:
        yield made


FOREIGN = [
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": "http://testserver"},
    {"origin": "https://evil.example"},
    {"origin": "http://testserver:81"},
    {"origin": "null"},
    {"origin": ""},
    {"origin": "https://testserver.evil.example"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_no_route_is_changed_from_another_site(client: TestClient, headers: dict[str, str]) -> None:
    walked = [way for way in ways(client.app) if way.method not in ("GET", "HEAD")]
    assert len(walked) > 50
    for way in walked:
        answer = client.request(way.method, way.asked, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_site"), way


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
        {"origin": "http://testserver"},
        {"origin": "https://testserver"},  # TLS ended at the proxy
        {"sec-fetch-site": "same-origin", "origin": "http://before-the-proxy.example"},
    ],
    ids=str,
)
def test_clients_and_our_own_pages_pass(client: TestClient, headers: dict[str, str]) -> None:
    split = {"text": "one two", "pattern": "white_space"}
    assert client.post("/lessons/split", json=split, headers=headers).status_code == 200


def test_what_only_reads_passes_and_is_read_by_nobody(client: TestClient) -> None:
    """A link of another site leads here; its scripts see nothing of the answer."""
    answer = client.get("/datasets", headers={"origin": "https://evil.example", "sec-fetch-site": "cross-site"})
    assert answer.status_code == 200
    assert [name for name in answer.headers if name.startswith("access-control")] == []
    preflight = client.options(
        "/jobs", headers={"origin": "https://evil.example", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 405
    assert [name for name in preflight.headers if name.startswith("access-control")] == []


def test_it_stands_before_keys_and_sessions(befriended: TestClient) -> None:
    """Whoever is sent by another site learns nothing of keys, and nothing is looked up for it."""
    refused = befriended.post("/jobs", headers={"origin": "https://evil.example", "authorization": "Bearer x"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "cross_site")


def test_an_allowed_origin_asks_first_without_a_key_and_then_with_one(befriended: TestClient) -> None:
    with befriended.app.state.runtime.database.write() as session:
        secret = keys.create(session, "friend").secret
    preflight = befriended.options(
        "/lessons/split",
        headers={
            "origin": FRIEND,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization, content-type, x-stainless-os",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == FRIEND
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in preflight.headers
    headers = {"origin": FRIEND, "sec-fetch-site": "cross-site"}
    asked = {"text": "one two", "pattern": "white_space"}
    for more, status in (({}, 401), ({"authorization": f"Bearer {secret}"}, 200)):
        answer = befriended.post("/lessons/split", json=asked, headers=headers | more)
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == FRIEND
        assert "X-Request-ID" in answer.headers["access-control-expose-headers"]


def test_another_origin_is_refused_in_the_one_shape(befriended: TestClient) -> None:
    asked = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    preflight = befriended.options("/jobs", headers=asked)
    assert (preflight.status_code, preflight.json()["error"]["code"]) == (400, "bad_request")
    assert "access-control-allow-origin" not in preflight.headers
    assert preflight.headers["content-length"] == str(len(preflight.content))
    answer = befriended.get("/healthz", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_what_breaks_can_be_read_by_an_allowed_origin(befriended: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(befriended.app.state, "is_draining", True, raising=False)
    answer = befriended.get("/models", headers={"origin": FRIEND})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (503, FRIEND)
