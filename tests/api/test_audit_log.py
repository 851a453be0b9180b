"""What the audit log tells of requests: who, what, on what, with what outcome; and what it never tells."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from app.config import Settings
from app.db.tables.audit import AuditRow
from app.main import create_app
from app.services import keys
from tests.jobs_made import a_model
from tests.locked import locked

WORDS = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
PROMPT = "a prompt that nobody is to read"


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    with TestClient(create_app(locked(settings.data_dir)), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def held(client: TestClient) -> dict[str, keys.Made]:
    with client.app.state.runtime.database.write() as session:
        return {
            "anna": keys.create(session, "anna"),
            "reader": keys.create(session, "reader", ["read"]),
            "admin": keys.create(session, "admin", ["admin"]),
        }


def bearer(key: keys.Made) -> dict[str, str]:
    return {"authorization": f"Bearer {key.secret}"}


def told(client: TestClient, admin: keys.Made, **query: Any) -> list[dict[str, Any]]:
    """What the list says, but for keys and what others read of it."""
    answer = client.get("/audit", params=query, headers=bearer(admin))
    assert answer.status_code == 200, answer.text
    data: list[dict[str, Any]] = answer.json()["data"]
    return [row for row in data if not row["action"].startswith(("key.", "audit."))]


def short(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return [
        tuple(row[name] for name in ("key_name", "action", "resource", "outcome", "status", "code")) for row in rows
    ]


def test_what_is_made_changed_and_deleted_is_told(client: TestClient, held: dict[str, keys.Made]) -> None:
    anna = bearer(held["anna"]) | {"x-request-id": "from-anna"}
    files = {"file": ("own.txt", "tides turn\n" * 50)}
    dataset = client.post("/datasets", files=files, headers=anna).json()["id"]
    assert client.post("/tokenizers", json=WORDS, headers=anna).status_code == 201
    asked = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides"}
    job = client.post("/jobs", json=asked, headers=anna).json()["id"]
    copy = client.post(f"/jobs/{job}/duplicate", json={}, headers=anna).json()["id"]
    client.post(f"/jobs/{job}/cancel", headers=anna)
    client.post(f"/jobs/{job}/cancel", headers=anna)
    client.delete(f"/jobs/{job}", headers=anna)
    client.delete(f"/jobs/{job}", headers=anna)
    client.delete(f"/datasets/{dataset}", headers=anna)
    rows = told(client, held["admin"])
    assert short(rows) == [
        ("anna", "dataset.delete", dataset, "done", 200, None),
        ("anna", "job.delete", job, "refused", 404, "job_not_found"),
        ("anna", "job.delete", job, "done", 200, None),
        ("anna", "job.cancel", job, "refused", 409, "conflict"),
        ("anna", "job.cancel", job, "done", 200, None),
        ("anna", "job.duplicate", copy, "done", 202, None),
        ("anna", "job.create", job, "done", 202, None),
        ("anna", "tokenizer.create", "tides", "done", 201, None),
        ("anna", "dataset.create", dataset, "done", 201, None),
    ]
    assert {row["request_id"] for row in rows} == {"from-anna"}
    assert {row["address"] for row in rows} == {"testclient"}
    assert rows[1]["request"] == f"DELETE /jobs/{job}"
    assert {row["times"] for row in rows} == {1}
    assert abs(rows[0]["created_at"] - time.time()) < 60


def test_who_is_refused_is_told_of_any_route(client: TestClient, held: dict[str, keys.Made]) -> None:
    for _ in range(3):
        assert client.get("/jobs").status_code == 401
    assert client.get("/jobs", headers={"authorization": "Bearer inkling_made_up"}).status_code == 401
    assert client.post("/generate", json={"prompt": PROMPT}, headers=bearer(held["reader"])).status_code == 403
    assert client.delete("/models/x", headers=bearer(held["reader"])).status_code == 403
    assert client.get("/nowhere", headers=bearer(held["anna"])).status_code == 404
    assert client.get("/jobs", headers=bearer(held["anna"])).status_code == 200
    rows = told(client, held["admin"], outcome="refused")
    assert short(rows) == [
        ("reader", "model.delete", "x", "refused", 403, "missing_scope"),
        ("reader", "request", None, "refused", 403, "missing_scope"),
        (None, "request", None, "refused", 401, "invalid_api_key"),
    ]
    assert rows[1]["request"] == "POST /generate"


def test_sign_ins_are_told_those_that_fail_as_well(client: TestClient, held: dict[str, keys.Made]) -> None:
    for key in ("inkling_00000000_" + "0" * 43, held["anna"].secret):
        client.post("/ui/sign-in", data={"key": key, "next": "/ui/jobs"}, follow_redirects=False)
    client.cookies.clear()
    assert short(told(client, held["admin"])) == [
        ("anna", "session.begin", None, "done", 303, None),
        (None, "session.begin", None, "refused", 401, None),
    ]


def test_bad_archives_and_what_does_not_fit_are_told_with_why(client: TestClient, held: dict[str, keys.Made]) -> None:
    anna = bearer(held["anna"])
    bad = {"file": ("a.jsonl.gz", b"\x1f\x8b" + b"0" * 100)}
    assert client.post("/datasets", files=bad, headers=anna).status_code >= 400
    assert client.post("/models", content=b"{", headers=anna | {"content-type": "application/json"}).status_code == 400
    first, second = told(client, held["admin"])
    assert (first["action"], first["code"]) == ("model.import", "invalid_json")
    assert (second["action"], second["outcome"]) == ("dataset.create", "refused")
    assert second["code"]


def test_neither_prompts_nor_keys_are_told(client: TestClient, held: dict[str, keys.Made]) -> None:
    anna = bearer(held["anna"])
    client.post("/generate", json={"prompt": PROMPT}, headers=anna)
    client.post("/generate", json={"prompt": PROMPT}, headers=bearer(held["reader"]))
    client.get(f"/jobs?after={held['anna'].secret}")
    client.post("/ui/sign-in", data={"key": held["anna"].secret + "x"})
    with client.app.state.runtime.database.read() as session:
        found = [vars(row) for row in session.scalars(select(AuditRow))]
    assert found
    for secret in (PROMPT, *(key.secret for key in held.values())):
        assert secret not in repr(found)


def test_an_admin_alone_reads_it_by_pages_and_by_what_is_wanted(client: TestClient, held: dict[str, keys.Made]) -> None:
    assert client.get("/audit", headers=bearer(held["reader"])).status_code == 403
    for name in ("m1", "m2", "m3"):
        client.delete(f"/models/{name}", headers=bearer(held["admin"]))
        with client.app.state.runtime.database.write() as session:
            session.add(a_model(name))
        client.delete(f"/models/{name}", headers=bearer(held["admin"]))
    query = {"action": "model.delete", "outcome": "done"}
    assert [row["resource"] for row in told(client, held["admin"], **query)] == ["m3", "m2", "m1"]
    page = client.get("/audit", params=query | {"limit": 2}, headers=bearer(held["admin"])).json()
    assert ([row["resource"] for row in page["data"]], page["has_more"]) == (["m3", "m2"], True)
    rest = told(client, held["admin"], **query, after=page["data"][-1]["id"])
    assert [row["resource"] for row in rest] == ["m1"]
    assert told(client, held["admin"], resource="m2", outcome="done", key=held["admin"].row.id)
    assert told(client, held["admin"], key=held["anna"].row.id) == []
    assert told(client, held["admin"], since=2**40) == []
    for wrong in ({"limit": 0}, {"after": "x"}, {"outcome": "maybe"}, {"unknown": 1}, {"since": -1}, {"after": 2**40}):
        assert client.get("/audit", params=wrong, headers=bearer(held["admin"])).status_code == 422, wrong
    assert client.get("/audit", headers=bearer(held["admin"])).json()["data"][0]["action"] == "audit.read"


def test_a_file_that_is_fetched_comes_whole(client: TestClient, held: dict[str, keys.Made]) -> None:
    """The head of its stream waits for the first piece, and no longer."""
    files = {"file": ("rows.jsonl", '{"instruction": "a", "input": "", "output": "b"}\n' * 30_000)}
    made = client.post("/v1/files", files=files, data={"purpose": "fine-tune"}, headers=bearer(held["anna"])).json()
    answer = client.get(f"/v1/files/{made['id']}/content", headers=bearer(held["anna"]))
    assert len(answer.content) == made["bytes"]
    assert short(told(client, held["admin"]))[0] == ("anna", "dataset.export", made["id"], "done", 200, None)


def test_where_nothing_is_to_be_kept_nothing_is_written(settings: Settings) -> None:
    silent = locked(settings.data_dir).model_copy(update={"audit_days": 0})
    with TestClient(create_app(silent)) as client:
        assert client.get("/jobs").status_code == 401
        with client.app.state.runtime.database.read() as session:
            assert {row.action for row in session.scalars(select(AuditRow))} <= {"key.create"}
