"""Signing in with a key: a session in its place, a token that each change shows, and out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api import scopes
from app.api.credentials import COOKIE
from app.config import Settings
from app.main import create_app
from app.services import keys
from app.services.ended_sessions import EndedSessions
from tests.locked import locked
from tests.routes import ways

HTML = {"accept": "text/html,*/*"}
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    data_dir = tmp_path_factory.mktemp("signing") / "data"
    with TestClient(create_app(locked(data_dir)), raise_server_exceptions=False, follow_redirects=False) as made:
        yield made


@pytest.fixture
def client(service: TestClient) -> TestClient:
    """The service, seen by a browser that is new to it."""
    service.cookies.clear()
    return service


def key(client: TestClient, name: str, *scopes: str) -> str:
    with client.app.state.runtime.database.write() as session:
        return keys.create(session, name, scopes or keys.USUAL_SCOPES).secret


def signed_in(client: TestClient, name: str, *scopes: str) -> str:
    """The token of the pages that the key's holder gets."""
    answer = client.post("/ui/sign-in", data={"key": key(client, name, *scopes)})
    assert answer.status_code == 303
    return re.findall(r'<meta name="csrf-token" content="(\w+)">', client.get("/ui/datasets", headers=HTML).text)[0]


def test_a_browser_is_led_to_the_form_and_back(client: TestClient) -> None:
    sent = client.get("/ui/jobs?after=2", headers=HTML)
    assert (sent.status_code, sent.headers["location"]) == (303, "/ui/sign-in?next=/ui/jobs%3Fafter%3D2")
    form = client.get(sent.headers["location"], headers=HTML)
    assert form.status_code == 200
    assert '<input type="hidden" name="next" value="/ui/jobs?after=2">' in form.text
    assert "csrf-token" not in form.text
    done = client.post("/ui/sign-in", data={"key": f" {key(client, 'led')}\n", "next": "/ui/jobs?after=2"})
    assert (done.status_code, done.headers["location"]) == (303, "/ui/jobs?after=2")
    assert client.get("/ui/jobs", headers=HTML).status_code == 200


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(client: TestClient) -> None:
    for scheme, is_secure in (("http", False), ("https", True)):
        answer = client.post(f"{scheme}://testserver/ui/sign-in", data={"key": key(client, f"cookie-{scheme}")})
        told = answer.headers["set-cookie"]
        assert "; HttpOnly" in told
        assert "; SameSite=lax" in told
        assert "; Path=/" in told
        assert ("; Secure" in told) == is_secure
        assert "inkling_session=" in told
        assert not re.search(r"inkling_[0-9a-z]{8}_", told)


@pytest.mark.parametrize("wrong", ["", "x", "k" * 100_000, "ключ 🔑", "inkling_00000000_" + "0" * 43])
def test_a_bad_key_brings_the_form_back(client: TestClient, wrong: str) -> None:
    answer = client.post("/ui/sign-in", data={"key": wrong, "next": "/ui/jobs"})
    assert answer.status_code == 401
    assert "unknown, or revoked" in answer.text
    assert 'value="/ui/jobs"' in answer.text
    assert "set-cookie" not in answer.headers


def test_a_key_that_may_not_read_cannot_sign_in(client: TestClient) -> None:
    answer = client.post("/ui/sign-in", data={"key": key(client, "writer", "generate")})
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    "place", ["https://evil.example", "//evil.example", "/\\evil", "/ui/\\evil", "/ui/\r\nx: y", "jobs", ""]
)
def test_nobody_is_led_elsewhere(client: TestClient, place: str) -> None:
    answer = client.post("/ui/sign-in", data={"key": key(client, f"n{abs(hash(place))}"), "next": place})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_another_site_cannot_sign_anybody_in(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    answer = client.post("/ui/sign-in", data={"key": key(client, "foreign")}, headers=headers)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)


def test_no_change_is_made_without_the_token(client: TestClient) -> None:
    """Every route that changes something, with an admin's session and without the token, or with another's."""
    other = signed_in(client, "other", "admin")
    signed_in(client, "victim", "admin")
    asked = [way for way in ways(client.app) if way.method not in ("GET", "HEAD") and way.line not in scopes.OPEN]
    assert len(asked) > 50
    for way in asked:
        for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": other}, {"x-csrf-token": "é".encode()}):
            answer = client.request(way.method, way.asked, headers=headers)
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "csrf_failed"), way
    assert client.delete(f"/datasets/x?csrf={other}").status_code == 403


def test_a_page_may_with_its_token(client: TestClient) -> None:
    token = signed_in(client, "owner")
    assert client.delete("/datasets/x", headers={"x-csrf-token": token}).status_code == 404
    assert client.delete(f"/datasets/x?csrf={token}").status_code == 404


def test_a_session_may_what_its_key_may(client: TestClient) -> None:
    token = signed_in(client, "reader", "read")
    answer = client.delete("/datasets/x", headers={"x-csrf-token": token})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")


def test_a_header_stands_over_the_session(client: TestClient) -> None:
    """A client that sends a key needs no token, and one that sends a bad one is not let in by a cookie."""
    signed_in(client, "both", "admin")
    secret = key(client, "header", "train")
    assert client.delete("/datasets/x", headers={"authorization": f"Bearer {secret}"}).status_code == 404
    assert client.get("/datasets", headers={"authorization": "Bearer x"}).status_code == 401


def test_every_form_that_posts_shows_the_token() -> None:
    forms = [
        (path.name, form)
        for path in (ROOT / "templates").rglob("*.html")
        for form in re.findall(r'<form[^>]*method="post"[^>]*>', path.read_text())
    ]
    assert len(forms) > 6
    assert [form for form in forms if "csrf_query()" not in form[1] and form[0] != "sign_in.html"] == []


def test_scripts_ask_in_one_place_that_shows_the_token() -> None:
    asking = {
        path.name: path.read_text()
        for path in (ROOT / "static" / "js").glob("*.js")
        if re.search(r"\bfetch\(|XMLHttpRequest|SwaggerUIBundle\(|sendBeacon", path.read_text())
    }
    assert set(asking) == {"api.js", "dataset_upload.js", "docs.js"}
    assert [name for name, text in asking.items() if "fromAPage()" not in text] == []


def test_a_step_of_a_lesson_is_done_without_script(client: TestClient) -> None:
    signed_in(client, "learner")
    form = re.findall(r'method="post" action="(/ui/learn/2/words[^"#]*)', client.get("/ui/learn/2", headers=HTML).text)[
        0
    ]
    assert "?csrf=" in form
    answer = client.post(form, data={"text": "Hello, tide-reader", "pattern": "white_space"}, headers=HTML)
    assert answer.status_code == 200
    assert "tide-reader" in answer.text


def test_signing_out_forgets(client: TestClient) -> None:
    token = signed_in(client, "leaver")
    out = re.findall(r'action="(/ui/sign-out[^"]*)"', client.get("/ui/datasets", headers=HTML).text)
    assert out == [f"/ui/sign-out?csrf={token}"]
    assert client.post(out[0]).headers["location"] == "/ui/sign-in"
    assert client.get("/ui/datasets", headers=HTML).headers["location"].startswith("/ui/sign-in")


def test_a_cookie_that_was_copied_is_worth_nothing_after_signing_out(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this server at once, on another once it asks the database again; other sessions of the key go on."""
    other = TestClient(client.app, follow_redirects=False)
    token, again = signed_in(client, "copied"), signed_in(other, "copied-too")
    assert token != again
    copied = {"cookie": f"{COOKIE}={client.cookies[COOKIE]}"}
    bare = TestClient(client.app, follow_redirects=False)
    another_server = EndedSessions(client.app.state.runtime.database)
    session = client.app.state.runtime.sessions.read(client.cookies[COOKIE])
    assert another_server.goes_on(session.id)
    assert bare.get("/datasets", headers=copied).status_code == 200
    assert client.post(f"/ui/sign-out?csrf={token}").status_code == 303
    answer = bare.get("/datasets", headers=copied)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert bare.post(f"/ui/sign-out?csrf={token}", headers=copied).status_code == 401
    assert other.get("/datasets").status_code == 200
    assert another_server.is_known_to_go_on(session.id)
    later = keys.time.monotonic() + keys.REMEMBERED_S
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert not another_server.is_known_to_go_on(session.id)
    assert not another_server.goes_on(session.id)


def test_a_session_ends_with_its_key(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_in(client, "revoked")
    with client.app.state.runtime.database.write() as session:
        keys.revoke(session, "revoked")
    later = keys.time.monotonic() + keys.REMEMBERED_S
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert client.get("/datasets").status_code == 401
    assert client.get("/ui/datasets", headers=HTML).status_code == 303


@pytest.mark.parametrize("cookie", ["x", "é", "a.b.c", "k" * 20_000, '"', ";;;="])
def test_a_bad_session_is_none(client: TestClient, cookie: str) -> None:
    headers = [(b"cookie", b"inkling_session=" + cookie.encode())]
    assert client.get("/datasets", headers=headers).status_code == 401


def test_where_no_key_is_required_there_is_nothing_to_sign(settings: Settings) -> None:
    bare = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"})
    with TestClient(create_app(bare), follow_redirects=False) as open_to_all:
        assert open_to_all.get("/ui/sign-in").headers["location"] == "/"
        assert open_to_all.post("/ui/sign-in", data={"key": "x"}).headers["location"] == "/"
        page = open_to_all.get("/ui/datasets").text
        assert "csrf" not in page
        assert "Sign out" not in page
    assert not (settings.data_dir / "session-secret").exists()
