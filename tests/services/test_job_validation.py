"""Texts that are read before their job is queued: good ones, ones with a mistake in a line, and readers that die."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables import job_validation as rows
from app.main import create_app
from app.services import job_validation, leases, validation_leases
from app.services.runtime import Runtime

GOOD = "the tide and the clock\n" * 300


@pytest.fixture
def client(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    """The service with two tokenizers of the shipped story's words; of version 1 one that knows no others."""
    monkeypatch.setattr(job_validation, "FROM_BYTES", 2000)
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets", "default_tokenizer": "tides"})
    with TestClient(create_app(chosen)) as made:
        upload(made, "the tide and the clock <|endoftext|>", "words")
        for name, version in (("tides", 2), ("strict", 1)):
            new = {"name": name, "kind": "word", "version": version, "dataset": "the-tide-clock"}
            assert made.post("/tokenizers", json=new).status_code == 201
        yield made


def upload(client: TestClient, text: str, name: str = "a.txt") -> str:
    return client.post("/datasets", files={"file": (name, text.encode())}).json()["id"]


def asked(client: TestClient, dataset: str, tokenizer: str = "tides", **fields: object) -> dict[str, object]:
    body = {"recipe": "pretrain", "dataset": dataset, "tokenizer": tokenizer, "train": {"context_length": 8}}
    response = client.post("/jobs", json=body | fields)
    assert response.status_code == 202, response.text
    return response.json()


def runtime_of(client: TestClient) -> Runtime:
    return client.app.state.runtime


def read(client: TestClient) -> leases.Claim:
    held = validation_leases.claim(runtime_of(client).database, "w", 30)
    assert held is not None
    job_validation.validate(runtime_of(client), held.job_id, held.fence)
    return held


def job(client: TestClient, job_id: object) -> dict[str, object]:
    return client.get(f"/jobs/{job_id}").json()


def told(client: TestClient, job_id: object) -> list[tuple[str, str]]:
    events = client.get(f"/jobs/{job_id}/events").json()["data"]
    return [(event["data"]["status"], event["message"]) for event in events if event["type"] == "status"]


def test_a_large_text_is_read_and_then_the_job_is_queued(client):
    dataset = upload(client, GOOD)
    made = asked(client, dataset, name="mine")
    assert made["status"] == "validating_files"
    database = runtime_of(client).database
    assert leases.claim(database, "w", 30) is None  # no trainer takes it
    lacking = job(client, made["id"])["waiting_for"]
    assert lacking == "no worker is alive; `inkling worker` starts one"
    read(client)
    assert job(client, made["id"])["status"] == "queued"
    assert told(client, made["id"]) == [
        ("validating_files", "its texts are read before it is queued"),
        ("queued", "queued: its texts were read"),
    ]
    held = leases.claim(database, "w", 30)
    assert held is not None
    assert held.job_id == made["id"]
    assert asked(client, dataset, name="other")["status"] == "queued"  # it is encoded by now


def test_a_small_text_waits_for_nobody(client):
    assert asked(client, upload(client, GOOD[:1500]))["status"] == "queued"


def test_a_word_that_is_not_known_is_told_with_its_line(client):
    lines = GOOD.splitlines()
    lines[217] = "the tide and the zeppelin"
    made = asked(client, upload(client, "\n".join(lines)), "strict", validation=0)
    read(client)
    failed = job(client, made["id"])
    assert (failed["status"], failed["error"]["code"], failed["error"]["param"]) == (
        "failed", "unknown_word", "dataset",
    )  # fmt: skip
    assert "line 218: " in failed["error"]["message"]
    assert "zeppelin" in failed["error"]["message"]
    assert failed["finished_at"] is not None


def test_of_rows_the_line_is_told_too(client):
    texts = ["the tide and the clock"] * 300
    texts[250] = "the zeppelin"
    dataset = upload(client, "\n".join(json.dumps({"text": text}) for text in texts), "a.jsonl")
    response = client.post(
        "/jobs", json={"recipe": "pretrain", "dataset": dataset, "tokenizer": "tides", "train": {"context_length": 8}}
    )
    assert response.json()["status"] == "validating_files"
    read(client)
    assert job(client, response.json()["id"])["status"] == "queued"  # version 2 has <|unk|> for it


def test_the_validation_text_is_read_too(client):
    other = upload(client, GOOD + "a zeppelin\n")
    made = asked(client, "the-tide-clock", "strict", validation=other, name="judged")
    read(client)
    failed = job(client, made["id"])
    assert (failed["status"], failed["error"]["param"]) == ("failed", "validation")
    assert "line 301: " in failed["error"]["message"]


def test_it_can_be_cancelled_and_deleted_meanwhile(client):
    dataset = upload(client, GOOD)
    made = asked(client, dataset, name="mine")
    database = runtime_of(client).database
    held = validation_leases.claim(database, "w", 30)
    assert held is not None
    assert client.delete(f"/datasets/{dataset}").status_code == 409
    assert client.post(f"/jobs/{made['id']}/pause").status_code == 409
    assert client.post(f"/jobs/{made['id']}/cancel").json()["status"] == "cancelled"
    assert not validation_leases.renew(database, held, 30)
    job_validation.validate(runtime_of(client), held.job_id, held.fence)  # who read on changes nothing
    assert job(client, made["id"])["status"] == "cancelled"
    second = asked(client, upload(client, GOOD + "the tide"), name="mine")
    assert second["status"] == "validating_files"
    held = validation_leases.claim(database, "w", 30)
    assert held is not None
    assert client.delete(f"/jobs/{second['id']}").status_code == 200
    job_validation.validate(runtime_of(client), held.job_id, held.fence)
    assert client.get(f"/jobs/{second['id']}").status_code == 404


def test_its_name_is_taken_and_lists_know_its_state(client):
    made = asked(client, upload(client, GOOD), name="mine")
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides", "name": "mine"}
    assert client.post("/jobs", json=body).status_code == 409
    listed = client.get("/jobs", params={"status": "validating_files"}).json()["data"]
    assert [one["id"] for one in listed] == [made["id"]]


def test_readers_that_die_are_replaced_and_at_last_the_job_fails(client):
    made = asked(client, upload(client, GOOD))
    database = runtime_of(client).database
    for attempt in range(1, 4):
        with database.write() as session:
            row = rows.job.lock(session, made["id"])
            assert row is not None
            row.not_before = 0
        held = validation_leases.claim(database, f"w{attempt}", 0.01)
        assert held is not None
        assert held.fence == attempt
        assert validation_leases.claim(database, "other", 30) is None
        time.sleep(0.05)
        taken = validation_leases.take_back_expired(database, 3)
        assert [each.status for each in taken] == ["validating_files" if attempt < 3 else "failed"]
    assert validation_leases.take_back_expired(database, 3) == []
    assert job(client, made["id"])["error"]["code"] == "attempts_exhausted"


def test_a_stale_reader_changes_nothing(client):
    made = asked(client, upload(client, GOOD))
    database = runtime_of(client).database
    first = validation_leases.claim(database, "w1", 30)
    assert first is not None
    validation_leases.release(database, first)
    second = validation_leases.claim(database, "w2", 30)
    assert second is not None
    job_validation.validate(runtime_of(client), first.job_id, first.fence)
    assert job(client, made["id"])["status"] == "validating_files"
    validation_leases.release(database, first)
    assert validation_leases.renew(database, second, 30)
    job_validation.validate(runtime_of(client), second.job_id, second.fence)
    assert job(client, made["id"])["status"] == "queued"
