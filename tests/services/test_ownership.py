"""Whose a thing is: each verb with the owner's key, a stranger's, an admin's, and on what is nobody's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.owned import Owner
from app.db.session import Database
from app.db.tables.branch import BranchRow
from app.db.tables.dataset import DatasetRow
from app.db.tables.tokenizer import TokenizerRow
from app.errors import MissingScope
from app.main import create_app
from app.services import keys, ownership
from tests.api.native.conftest import add_base

TOKEN = {"id": 1, "text": " tide", "bytes": [32], "logprob": -1.0, "sampled_logprob": -1.0, "top": [], "chosen": False}


@pytest.mark.parametrize(
    ("owner", "who", "may"),
    [
        (None, None, True),
        (None, Owner("key_admin", sees_all=True), True),
        (None, Owner("key_me", sees_all=False), False),
        ("key_me", Owner("key_me", sees_all=False), True),
        ("key_me", Owner("key_admin", sees_all=True), True),
        ("key_me", None, True),
    ],
)
def test_what_is_nobodys_an_admin_changes(database: Database, owner: str | None, who: Owner | None, may: bool) -> None:
    with (database if who is None else database.of(who)).write() as session:
        if may:
            return ownership.check_may_change(session, owner)
        with pytest.raises(MissingScope, match="admin"):
            ownership.check_may_change(session, owner)
    return None


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    locked = settings.model_copy(
        update={"assets_dir": settings.data_dir / "no-assets", "require_keys": "true", "max_branches": 5}
    )
    with TestClient(create_app(locked), raise_server_exceptions=False) as made:
        yield made


@pytest.fixture
def held(client: TestClient) -> dict[str, dict[str, str]]:
    """The header of each: two people of the same scopes, and an admin."""
    with client.app.state.runtime.database.write() as session:
        made = {name: keys.create(session, name) for name in ("owner", "stranger")}
        made["admin"] = keys.create(session, "admin", ["admin"])
    return {name: {"authorization": f"Bearer {key.secret}"} for name, key in made.items()}


def kept(client: TestClient, headers: dict[str, str], **more: Any) -> Any:
    sampling = {"max_new_tokens": 1}
    body = {"model": "m", "sampling": sampling, "finish_reason": "length", "tokens": [TOKEN]}
    return client.post("/branches", json=body | (more or {"prompt": "The"}), headers=headers)


def test_another_keys_branch_is_not_there(client: TestClient, held: dict[str, dict[str, str]]) -> None:
    """Every verb × the owner, a stranger, an admin."""
    answer = kept(client, held["owner"])
    assert answer.status_code == 201, answer.text
    id_ = answer.json()["id"]
    for name, status in (("owner", 200), ("stranger", 404), ("admin", 200)):
        headers = held[name]
        assert client.get(f"/branches/{id_}", headers=headers).status_code == status
        assert client.get(f"/branches?tree={id_}", headers=headers).status_code == status
        assert client.get(f"/branches?after={id_}", headers=headers).status_code == status
        assert client.get(f"/ui/generate?branch={id_}", headers=headers).status_code == status
        listed = [row["id"] for row in client.get("/branches", headers=headers).json()["data"]]
        assert (id_ in listed) == (status == 200)
    refused = kept(client, held["stranger"], parent=id_, at=0)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "branch_not_found")
    never = client.delete("/branches/branch_0", headers=held["stranger"])
    answer = client.delete(f"/branches/{id_}", headers=held["stranger"])
    assert answer.status_code == 404
    assert answer.json()["error"]["message"] == never.json()["error"]["message"].replace("branch_0", id_)
    assert client.delete(f"/branches/{id_}", headers=held["owner"]).status_code == 200


def test_what_is_nobodys_is_read_and_gone_on_from(client: TestClient, held: dict[str, dict[str, str]]) -> None:
    """It was kept before there were keys. Two go on from it, and neither sees the other's, nor how many there are."""
    root = kept(client, held["owner"]).json()["id"]
    with client.app.state.runtime.database.write() as session:
        session.get_one(BranchRow, root).owner = None
    made = {name: kept(client, held[name], parent=root, at=1).json()["id"] for name in ("owner", "stranger")}
    for name in ("owner", "stranger"):
        found = client.get(f"/branches?tree={root}", headers=held[name]).json()["data"]
        assert [row["id"] for row in found] == [root, made[name]]
        assert client.get("/branches", headers=held[name]).json()["data"][0]["branches"] == 2
        assert len(client.get(f"/branches/{made[name]}", headers=held[name]).json()["tokens"]) == 2
        answer = client.delete(f"/branches/{root}", headers=held[name])
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
    assert client.delete(f"/branches/{root}", headers=held["admin"]).json()["branches"] == 3


def test_the_limit_counts_everybodys(client: TestClient, held: dict[str, dict[str, str]]) -> None:
    for _ in range(5):
        assert kept(client, held["owner"]).status_code == 201
    assert kept(client, held["stranger"]).json()["error"]["code"] == "branches_full"


ROWS = "".join(f'{{"instruction": "Say {n}.", "input": "", "output": "{n}"}}\n' for n in range(20))
BY_DATASET: list[tuple[str, str, Any]] = [
    ("GET", "/datasets/{id}", None),
    ("GET", "/datasets/{id}/preview", None),
    ("GET", "/datasets/{id}/report?tokenizer=tides", None),
    ("GET", "/datasets/{id}/batches?tokenizer=tides", None),
    ("GET", "/datasets?after={id}", None),
    ("GET", "/v1/files/{id}", None),
    ("GET", "/v1/files/{id}/content", None),
    ("GET", "/v1/files?after={id}", None),
    ("GET", "/ui/datasets/{id}", None),
    ("POST", "/tokenizers", {"name": "new", "kind": "word", "version": 2, "dataset": "{id}"}),
    ("POST", "/tokenizers/report", {"dataset": "{id}", "tokenizers": ["tides"]}),
    ("POST", "/windows", {"dataset": "{id}", "tokenizer": "tides", "max_length": 4, "stride": 4, "batch_size": 2}),
    ("POST", "/lessons/vocabulary", {"dataset": "{id}", "text": "tide", "version": 2}),
    ("POST", "/jobs", {"recipe": "pretrain", "dataset": "{id}", "tokenizer": "tides"}),
    ("POST", "/jobs", {"recipe": "pretrain", "dataset": [{"dataset": "{id}", "weight": 1}], "tokenizer": "tides"}),
    ("POST", "/jobs", {"recipe": "pretrain", "dataset": "the-tide-clock", "validation": "{id}", "tokenizer": "tides"}),
    ("POST", "/jobs", {"recipe": "instruct", "dataset": "{id}", "model": "base"}),
    ("POST", "/jobs", {"recipe": "classify", "dataset": "{id}", "model": "base"}),
    ("POST", "/jobs/estimate", {"recipe": "pretrain", "dataset": "{id}", "tokenizer": "tides"}),
    ("POST", "/jobs/preview", {"recipe": "instruct", "dataset": "{id}", "model": "base"}),
    ("POST", "/v1/fine_tuning/jobs", {"training_file": "{id}", "model": "base"}),
    ("POST", "/ui/datasets/{id}", None),
    ("DELETE", "/v1/files/{id}", None),
    ("DELETE", "/datasets/{id}", None),
]


def asked(client: TestClient, headers: dict[str, str], ask: tuple[str, str, Any], id_: str) -> Any:
    method, path, body = ask
    sent = None if body is None else json.loads(json.dumps(body).replace("{id}", id_))
    return client.request(method, path.replace("{id}", id_), json=sent, headers=headers)


def test_another_keys_dataset_is_not_there(client: TestClient, held: dict[str, dict[str, str]]) -> None:
    """Every route that a dataset can be named to: a stranger hears what they hear of one that never was."""
    words = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=words, headers=held["admin"]).status_code == 201
    with client.app.state.runtime.database.write() as session:
        session.get_one(TokenizerRow, "tides").owner = None
    add_base(client)
    files = {"file": ("tasks.jsonl", ROWS.encode())}
    id_ = client.post("/datasets", files=files, headers=held["owner"]).json()["id"]
    never = "ds_" + "0" * (len(id_) - 3)
    for ask in BY_DATASET:
        strange, absent = (asked(client, held["stranger"], ask, each) for each in (id_, never))
        assert strange.status_code == 404, (ask, strange.text)
        assert strange.text.replace(id_, never) == absent.text, ask
        if not ask[1].startswith("/ui/"):
            assert strange.json()["error"]["code"] == "dataset_not_found", ask
    for ask in BY_DATASET[:-3]:
        for name in ("owner", "admin"):
            assert asked(client, held[name], ask, id_).status_code != 404, ask
    for path in ("/datasets", "/v1/files", "/ui/datasets"):
        told = {name: id_ in client.get(path, headers=headers).text for name, headers in held.items()}
        assert told == {"owner": True, "stranger": False, "admin": True}, path
    assert client.delete(f"/datasets/{id_}", headers=held["owner"]).status_code == 409  # the jobs above need it
    for job in client.get("/jobs", headers=held["stranger"]).json()["data"]:
        assert id_ not in str(job)


def test_a_dataset_of_nobody_is_read_by_all_and_deleted_by_an_admin(
    client: TestClient, held: dict[str, dict[str, str]]
) -> None:
    files = {"file": ("tasks.jsonl", ROWS.encode())}
    id_ = client.post("/datasets", files=files, headers=held["owner"]).json()["id"]
    with client.app.state.runtime.database.write() as session:
        session.get_one(DatasetRow, id_).owner = None
    assert client.get(f"/datasets/{id_}", headers=held["stranger"]).status_code == 200
    assert client.get("/datasets/the-tide-clock", headers=held["stranger"]).status_code == 200
    answer = client.delete(f"/datasets/{id_}", headers=held["owner"])
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope")
    assert client.delete(f"/datasets/{id_}", headers=held["admin"]).status_code == 200
