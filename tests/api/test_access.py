"""At the door: no route without a key, none with a key that lacks the scope, and no header that breaks it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from app.api import scopes
from app.config import Settings
from app.main import create_app
from app.services import keys
from app.services.runtime import Runtime
from tests.locked import locked
from tests.routes import mounts, ways


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service without any assets, where a key is needed."""
    data_dir = tmp_path_factory.mktemp("access") / "data"
    with TestClient(create_app(locked(data_dir)), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture(scope="module")
def secrets(client: TestClient) -> dict[str, str]:
    """A key of each scope alone."""
    with client.app.state.runtime.database.write() as session:
        return {scope: keys.create(session, f"only-{scope}", [scope]).secret for scope in keys.SCOPES}


def bearer(secret: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret}"}


def test_no_route_answers_without_a_key(client: TestClient) -> None:
    walked = [way for way in ways(client.app) if way.line not in scopes.OPEN]
    assert len(walked) > 100
    for way in walked:
        answer = client.request(way.method, way.asked, follow_redirects=False)
        assert answer.status_code == 401, way
        assert answer.headers["www-authenticate"] == 'Bearer realm="inkling"', way
        if way.method != "HEAD":
            assert answer.json()["error"]["code"] == "invalid_api_key", way


@pytest.mark.parametrize("path", ["/", "/nowhere", "/v1", "/healthz/", "/static", "//healthz", "/static/../models"])
def test_nor_does_what_is_no_route(client: TestClient, path: str) -> None:
    assert client.request("GET", client.base_url.join("/").copy_with(raw_path=path.encode())).status_code == 401


def test_health_and_static_files_stay_open(client: TestClient) -> None:
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").status_code == 503  # without a default model
    for mount, file in {"/static": "js/api.js", "/static/plotly": "plotly.min.js"}.items():
        assert mount in mounts(client.app)
        assert client.get(f"{mount}/{file}").status_code == 200


def test_a_key_opens_what_its_scope_says_and_nothing_else(client: TestClient, secrets: dict[str, str]) -> None:
    """Every route × every scope: where it is not the route's, 403, before anything is read or done."""
    refused = 0
    for way in ways(client.app):
        wanted = scopes.needed(way.method, way.asked)
        for scope, secret in secrets.items():
            if scope in (wanted, "admin") or wanted is None:
                continue
            answer = client.request(way.method, way.asked, headers=bearer(secret))
            assert answer.status_code == 403, (way, scope)
            told = f'Bearer realm="inkling", error="insufficient_scope", scope="{wanted}"'
            assert answer.headers["www-authenticate"] == told
            if way.method != "HEAD":
                assert answer.json()["error"]["code"] == "missing_scope"
            refused += 1
    assert refused > 200


def test_what_the_scope_allows_is_answered(client: TestClient, secrets: dict[str, str]) -> None:
    assert client.get("/datasets", headers=bearer(secrets["read"])).status_code == 200
    split = {"text": "one two", "pattern": "white_space"}
    assert client.post("/lessons/split", headers=bearer(secrets["generate"]), json=split).status_code == 200
    assert client.delete("/datasets/x", headers=bearer(secrets["train"])).status_code == 404
    assert client.get("/metrics", headers=bearer(secrets["metrics"])).status_code == 200
    for ask in ("/datasets", "/metrics", "/nowhere"):
        status = client.get(ask, headers=bearer(secrets["admin"])).status_code
        assert status == (404 if ask == "/nowhere" else 200)


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
@pytest.mark.parametrize(
    "sent",
    [
        [b""],
        [b"Bearer"],
        [b"Bearer "],
        [b"Bearer  "],
        [b"Bearer x"],
        [b"Bearer inkling_00000000_" + b"0" * 43],
        [b"Bearer " + b"k" * 100_000],
        ["Bearer clé-🔑".encode()],
        [b"Bearer \xff\xfe\x00"],
        [b"Bearer \r\n"],
        [b"Basic dXNlcjpwYXNz"],
        [b"Token GOOD"],
        [b"GOOD"],
        [b"Bearer GOOD GOOD"],
        [b"Bearer GOOD, Bearer GOOD"],
        [b"Bearer GOOD", b"Bearer GOOD"],
        [b"Bearer GOODx"],
        [b"Bearer good"],
    ],
    ids=lambda sent: sent[0][:24].decode("latin-1").encode("unicode_escape").decode(),
)
def test_bad_keys_are_401_in_one_shape(
    client: TestClient, secrets: dict[str, str], path: str, sent: list[bytes]
) -> None:
    good = secrets["admin"].encode()
    filled = [value.replace(b"GOOD", good).replace(b"good", good.swapcase()) for value in sent]
    answer = client.get(path, headers=[(b"authorization", value) for value in filled])
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert error.pop("message")
    assert error == {"type": "invalid_request_error", "param": None, "code": "invalid_api_key"}
    assert secrets["admin"] not in answer.text


def test_a_revoked_key_is_refused_once_it_is_forgotten(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that knows the key from a moment ago believes it for five seconds, and no longer."""
    runtime: Runtime = client.app.state.runtime
    with runtime.database.write() as session:
        made = keys.create(session, "leaver")
    assert client.get("/datasets", headers=bearer(made.secret)).status_code == 200
    with runtime.database.write() as session:
        keys.revoke(session, "leaver")
    later = time.monotonic() + keys.REMEMBERED_S
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert client.get("/datasets", headers=bearer(made.secret)).status_code == 401


def test_a_database_that_is_away_is_503(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def away() -> Iterator[None]:
        raise OperationalError("SELECT", {}, Exception("gone"))
        yield

    runtime: Runtime = client.app.state.runtime
    monkeypatch.setattr(runtime.database, "read", away)
    answer = client.get("/datasets", headers=bearer("inkling_00000000_" + "0" * 43))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")


def test_a_first_start_tells_a_key_and_a_second_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = locked(tmp_path / "data")
    with TestClient(create_app(settings)) as first:
        secret = re.findall(r"The first key, .*: (\S+)\n", capsys.readouterr().out)[0]
        assert first.get("/datasets", headers=bearer(secret)).status_code == 200
        assert first.delete("/jobs/x", headers=bearer(secret)).status_code == 404
    with TestClient(create_app(settings)) as second:
        assert "The first key" not in capsys.readouterr().out
        assert second.get("/datasets", headers=bearer(secret)).status_code == 200


def test_without_the_requirement_nothing_is_asked_and_no_key_made(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    without_model = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"})
    with TestClient(create_app(without_model)) as open_to_all:
        assert "key" not in capsys.readouterr().out
        assert open_to_all.get("/datasets").status_code == 200
        assert open_to_all.get("/datasets", headers={"authorization": "Bearer whatever"}).status_code == 200
        assert [m.cls.__name__ for m in open_to_all.app.user_middleware if m.cls.__name__ == "KeyCheck"] == []


def test_a_lesson_without_script_asks_with_the_readers_key(client: TestClient, secrets: dict[str, str]) -> None:
    """The page asks the service for the reader: what the reader's key may not, the page may not."""
    form = {"text": "a b"}
    refused = client.post("/ui/learn/2/words", headers=bearer(secrets["read"]), data=form)
    assert refused.status_code == 403
    assert "scope generate" in refused.text
