"""What a key may hold at a time: jobs that run or wait, and bytes; another key's do not count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from app.db.tables.checkpoint import CheckpointRow
from app.main import create_app
from app.services import keys
from tests.jobs_made import a_job, a_model
from tests.locked import locked

JOB = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides", "model": {"preset": "gpt-tiny"}}
SMALL = {"train": {"max_steps": 1, "context_length": 8, "batch_size": 1}}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    """Two jobs, and 20,000 bytes."""
    settings = locked(tmp_path / "data").model_copy(update={"limit_jobs": 2, "limit_stored_bytes": 20_000})
    with TestClient(create_app(settings)) as made:
        yield made


def holder(client: TestClient, name: str) -> tuple[str, dict[str, str]]:
    with client.app.state.runtime.database.write() as session:
        made = keys.create(session, name)
        return made.row.id, {"authorization": f"Bearer {made.secret}"}


def with_tokenizer(client: TestClient, name: str) -> tuple[str, dict[str, str]]:
    key_id, headers = holder(client, name)
    new = {"name": f"tides-{name}", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=new, headers=headers).status_code == 201
    return key_id, headers


def ask(client: TestClient, headers: dict[str, str], name: str) -> httpx.Response:
    return client.post("/jobs", json=JOB | SMALL | {"tokenizer": f"tides-{name}"}, headers=headers)


def check_refused(answer: httpx.Response) -> None:
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (429, "quota_exceeded", "rate_limit_error")
    assert int(answer.headers["retry-after"]) > 0


def test_so_many_jobs_run_or_wait_and_no_more(client: TestClient) -> None:
    _, one = with_tokenizer(client, "one")
    _, two = with_tokenizer(client, "two")
    made = [ask(client, one, "one") for _ in range(2)]
    assert [each.status_code for each in made] == [202, 202], made[0].text
    check_refused(ask(client, one, "one"))
    assert ask(client, two, "two").status_code == 202
    first, second = (each.json()["id"] for each in made)
    assert client.post(f"/jobs/{first}/pause", headers=one).status_code == 200
    assert ask(client, one, "one").status_code == 202
    check_refused(client.post(f"/jobs/{first}/resume", headers=one))
    assert client.post(f"/jobs/{second}/cancel", headers=one).status_code == 200
    assert client.post(f"/jobs/{first}/resume", headers=one).status_code == 200
    check_refused(client.post(f"/jobs/{second}/retry", headers=one))
    over = client.app.state.runtime.models.metrics.over_limit
    assert over.labels("jobs")._value.get() == 3


def test_an_upload_without_room_leaves_nothing(client: TestClient) -> None:
    _, one = holder(client, "one")
    _, two = holder(client, "two")
    storage = client.app.state.runtime.storage

    def upload(headers: dict[str, str]) -> httpx.Response:
        return client.post("/datasets", files={"file": ("a.txt", b"All the sea. " * 1000)}, headers=headers)

    assert upload(one).status_code == 201
    before = sorted((storage.data_dir / "datasets").iterdir())
    check_refused(upload(one))
    assert sorted((storage.data_dir / "datasets").iterdir()) == before
    assert list(storage.scratch.iterdir()) == []
    assert len(client.get("/datasets", headers=one).json()["data"]) == len(before)
    assert upload(two).status_code == 201


def test_models_and_checkpoints_count_with_datasets(client: TestClient) -> None:
    key_id, one = holder(client, "one")
    runtime = client.app.state.runtime
    with runtime.database.write() as session:
        session.add(a_model("big", owner=key_id, size_bytes=12_000))
        job = a_job(session, owner=key_id, status="succeeded")
        saved = {"id": f"{job.id}@1", "job_id": job.id, "step": 1, "attempt": 1, "fence": 1, "path": "p", "sha256": "0"}
        session.add(CheckpointRow(**saved, size_bytes=9_000, metrics={}))
    check_refused(client.post("/datasets", files={"file": ("a.txt", b"a sea")}, headers=one))
    (runtime.storage.data_dir / "import" / "empty").mkdir(parents=True)
    check_refused(client.post("/models", json={"name": "n", "source": {"folder": "empty"}}, headers=one))
