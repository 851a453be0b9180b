"""Wrong keys: so many a minute from one address, and what that means for right ones beside them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.db.tables.audit import AuditRow
from app.main import create_app
from app.services import audit, keys, limits
from tests.locked import locked

Start = Callable[..., TestClient]
FEW = 3


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a service that lets nobody in without a key; clients of one folder are its servers."""
    with ExitStack() as open_ones:

        def one(address: str = "192.0.2.1", **fields: object) -> TestClient:
            settings = locked(tmp_path / "data").model_copy(update={"limit_wrong_keys": FEW, **fields})
            return open_ones.enter_context(TestClient(create_app(settings), client=(address, 1)))

        yield one


def made(client: TestClient, name: str) -> dict[str, str]:
    with client.app.state.runtime.database.write() as session:
        return bearer(keys.create(session, name, ["admin"]).secret)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def a_wrong_one(number: int) -> str:
    return f"inkling_00000000_{number:043}"


def guess(client: TestClient, times: int) -> list[int]:
    return [client.get("/models", headers=bearer(a_wrong_one(number))).status_code for number in range(times)]


def told(client: TestClient) -> list[AuditRow]:
    with client.app.state.runtime.database.read() as session:
        return [row for row, _ in audit.page(session, None, 100, None, {"outcome": "refused"})[0]]


def test_beyond_the_limit_it_is_429_with_a_time(start: Start) -> None:
    client = start()
    assert guess(client, FEW) == [401] * FEW
    refused = client.get("/models", headers=bearer("anything"))
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert 0 < int(refused.headers["retry-after"]) <= limits.WINDOW_S
    assert "www-authenticate" not in refused.headers
    assert client.get("/v1/models", headers=bearer("anything")).status_code == 429


def test_a_right_key_that_is_tried_out_beyond_it_is_not_told_apart(start: Start) -> None:
    """Else the limit would keep nobody from trying keys out."""
    client = start()
    key = made(client, "unseen")
    guess(client, FEW)
    assert client.get("/models", headers=key).status_code == 429
    assert client.get("/healthz").status_code == 200


def test_who_worked_here_before_works_on_behind_the_same_address(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "REMEMBERED_S", 0.0)  # each request asks the database
    client = start()
    key = made(client, "known")
    assert client.get("/models", headers=key).status_code == 200
    guess(client, FEW + 2)
    assert client.get("/models", headers=key).status_code == 200
    with client.app.state.runtime.database.write() as session:
        keys.revoke(session, "known")
    assert client.get("/models", headers=key).status_code == 429  # it is a wrong one now


def test_right_keys_count_for_nothing_and_neither_does_none(start: Start) -> None:
    client = start()
    key = made(client, "one")
    for _ in range(FEW * 3):
        assert client.get("/models", headers=key).status_code == 200
        assert client.get("/models").status_code == 401
        assert client.get("/models", headers={"authorization": "Basic YTpi"}).status_code == 401
    assert guess(client, FEW + 1) == [401] * FEW + [429]


def test_another_address_is_another_matter(start: Start) -> None:
    first, second = start(), start("192.0.2.2")
    key = made(first, "unseen")
    guess(first, FEW + 1)
    assert guess(second, FEW) == [401] * FEW
    assert start("192.0.2.3").get("/models", headers=key).status_code == 200


def test_the_next_minute_is_another(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "WINDOW_S", 1)
    client = start()
    key = made(client, "unseen")
    assert guess(client, FEW + 1)[-1] == 429
    time.sleep(1.1)
    assert client.get("/models", headers=key).status_code == 200


def test_the_form_to_sign_in_counts_with_the_rest(start: Start) -> None:
    client = start()
    known, unseen = made(client, "known"), made(client, "unseen")
    assert client.get("/models", headers=known).status_code == 200

    def sign_in(key: str) -> httpx2.Response:
        return client.post("/ui/sign-in", data={"key": key, "next": "/ui/jobs"}, follow_redirects=False)

    signed_in_before = sign_in(known["authorization"].removeprefix("Bearer "))
    assert signed_in_before.status_code == 303
    guess(client, FEW - 1)
    assert sign_in("wrong").status_code == 401
    refused = sign_in(unseen["authorization"].removeprefix("Bearer "))
    assert (refused.status_code, "more than 3 wrong keys a minute" in refused.text) == (429, True)
    assert 0 < int(refused.headers["retry-after"]) <= limits.WINDOW_S
    assert client.get("/ui/jobs", headers={"accept": "text/html"}).status_code == 200  # the session goes on
    assert sign_in(known["authorization"].removeprefix("Bearer ")).status_code == 303


def test_the_audit_log_tells_of_it_once_and_not_for_each(start: Start) -> None:
    client = start()
    guess(client, FEW + 3)
    for number in range(6):
        client.request(("GET", "POST")[number % 2], "/jobs", headers=bearer(a_wrong_one(number)))
    assert sorted((row.status, row.address, row.code) for row in told(client)) == [
        (401, "192.0.2.1", "invalid_api_key"),
        (429, "192.0.2.1", "rate_limit_exceeded"),
    ]


def test_it_is_counted_for_prometheus(start: Start) -> None:
    client = start()
    key = made(client, "watcher")
    assert client.get("/metrics", headers=key).status_code == 200
    guess(client, FEW + 2)
    assert b'inkling_over_limit_total{limit="wrong_keys"} 2.0' in client.get("/metrics", headers=key).content


def test_nought_is_any_number(start: Start) -> None:
    assert set(guess(start(limit_wrong_keys=0), 30)) == {401}
