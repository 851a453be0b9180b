"""Every answer tells browsers what to leave undone; and what breaks tells nothing of the inside."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from app.api.pages import render
from app.api.safe_headers import CLOSED_POLICY, HEADERS
from app.main import create_app
from app.services.runtime import Runtime
from tests.locked import locked
from tests.routes import mounts, ways

INSIDE = "the secret of /srv/inkling/data"


@pytest.fixture(scope="module", params=["false", "true"], ids=["open", "locked"])
def client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    settings = locked(tmp_path_factory.mktemp("headers") / "data").model_copy(update={"require_keys": request.param})
    with TestClient(create_app(settings), raise_server_exceptions=False, follow_redirects=False) as made:
        yield made


def check(answer: httpx.Response, asked: Any) -> None:
    sent = answer.headers.multi_items()
    for name, value in HEADERS.items():
        found = [given for key, given in sent if key == name]
        assert len(found) == 1, (asked, name, found)
        if name == "content-security-policy" and answer.headers.get("content-type", "").startswith("text/html"):
            assert found[0] in (render.STRICT_POLICY, render.STYLED_POLICY), asked
        else:
            assert found[0] == value, (asked, name)


def test_every_route_answers_with_them(client: TestClient) -> None:
    """Each as anybody asks it, with nothing in its body: some answer, some refuse, some lead elsewhere."""
    walked, statuses = ways(client.app), set()
    assert len(walked) > 100
    for way in walked:
        answer = client.request(way.method, way.asked)
        check(answer, way)
        statuses.add(answer.status_code)
    assert statuses >= ({401, 200} if client.app.state.runtime.settings.keys_required else {200, 303, 404, 422})


def test_so_do_files_and_what_is_no_route(client: TestClient) -> None:
    assert "/static" in mounts(client.app)
    for path in ("/static/js/api.js", "/static/icon.svg", "/static/plotly/plotly.min.js", "/static/none", "/nowhere"):
        check(client.get(path), path)
    check(client.get("/static/js/api.js", headers={"if-none-match": "*"}), "not modified")
    check(client.put("/healthz"), "another method")


def test_so_do_refusals_at_the_door(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    for headers, status in (({"host": "evil.example"}, 421), ({"sec-fetch-site": "cross-site"}, 403)):
        answer = client.post("/jobs", headers=headers)
        assert answer.status_code == status
        check(answer, headers)
    monkeypatch.setattr(client.app.state, "is_draining", True, raising=False)
    answer = client.get("/models")
    assert answer.status_code == 503
    check(answer, "draining")


def test_so_does_a_body_that_is_too_long(client: TestClient) -> None:
    answer = client.post("/ui/sign-in", content=b"a" * 8_000_000, headers={"content-type": "application/json"})
    assert answer.status_code in (413, 303)  # where no keys are required, it is not read
    check(answer, "too long")


def test_what_breaks_in_a_route_or_a_page_tells_nothing_of_the_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def broken(*_: Any) -> Iterator[None]:
        raise RuntimeError(INSIDE)
        yield

    app = create_app(locked(tmp_path / "data").model_copy(update={"require_keys": "false"}))
    with TestClient(app, raise_server_exceptions=False) as client:
        runtime: Runtime = app.state.runtime
        monkeypatch.setattr(runtime.database, "read", broken)
        monkeypatch.setattr(render._templates, "get_template", broken)
        for path in ("/datasets", "/v1/files", "/ui/datasets", "/"):
            monkeypatch.setattr(render._templates, "get_template", lambda *_: broken().__enter__())
            answer = client.get(path, headers={"accept": "text/html"})
            assert answer.status_code == 500, path
            assert answer.json()["error"]["code"] == "internal_error"
            told = answer.text + str(answer.headers)
            assert [word for word in ("secret", "/srv", "RuntimeError", "Traceback", ".py") if word in told] == []
            check(answer, path)


def test_what_is_no_page_may_run_nothing() -> None:
    assert CLOSED_POLICY.startswith("default-src 'none'")
    assert "unsafe" not in CLOSED_POLICY
