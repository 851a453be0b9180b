"""The thread that has texts read by a child: a real one, one that dies, one whose job goes, one that is to end."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.session import Database
from app.db.tables import job as jobs
from app.main import create_app
from app.services import job_validation, validation_leases
from app.services.tracing import open_tracing
from tests.collector import collecting
from workers.validate import Validation

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")
DIES = (sys.executable, "-c", "raise SystemExit(3)")


@pytest.fixture
def waiting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[TestClient, str]]:
    """A job whose text is to be read."""
    monkeypatch.setattr(job_validation, "FROM_BYTES", 100)
    chosen = settings.model_copy(update={"default_tokenizer": "tides", "lease_s": 3.0})
    with TestClient(create_app(chosen)) as client:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        assert client.post("/tokenizers", json=new).status_code == 201
        made = client.post("/jobs", json={"recipe": "pretrain", "dataset": "the-tide-clock"})
        assert made.json()["status"] == "validating_files"
        yield client, made.json()["id"]


def status(database: Database, job_id: str) -> str:
    with database.read() as session:
        row = jobs.get(session, job_id)
        assert row is not None
        return row.status


def validation(client: TestClient, command: tuple[str, ...] | None = None) -> Validation:
    runtime = client.app.state.runtime
    chosen = {} if command is None else {"command": command}
    return Validation(runtime.settings, runtime.database, "w", **chosen)


def test_a_child_reads_the_texts(waiting, monkeypatch):
    client, job_id = waiting
    runtime = client.app.state.runtime
    for name in runtime.settings.model_dump():
        monkeypatch.setenv(f"INKLING_{name.upper()}", "")
    environment = {"DATA_DIR": runtime.settings.data_dir, "DEFAULT_TOKENIZER": "tides"}
    for name, value in environment.items():
        monkeypatch.setenv(f"INKLING_{name}", str(value))
    reader = validation(client)
    assert reader.look(threading.Event())
    assert status(runtime.database, job_id) == "queued"
    assert not reader.look(threading.Event())


def test_one_that_dies_leaves_the_job_to_the_sweep(waiting):
    client, job_id = waiting
    database = client.app.state.runtime.database
    assert validation(client, DIES).look(threading.Event())
    assert not validation(client, DIES).look(threading.Event())
    time.sleep(3.2)
    assert [taken.job_id for taken in validation_leases.take_back_expired(database, 3)] == [job_id]
    assert status(database, job_id) == "validating_files"


def test_one_whose_job_was_cancelled_is_ended(waiting):
    client, job_id = waiting
    threading.Timer(0.5, lambda: client.post(f"/jobs/{job_id}/cancel")).start()
    started = time.monotonic()
    assert validation(client, SLEEPS).look(threading.Event())
    assert time.monotonic() - started < 20
    assert status(client.app.state.runtime.database, job_id) == "cancelled"


def test_the_lease_is_renewed_and_a_worker_that_ends_lets_go(waiting):
    client, _job_id = waiting
    database = client.app.state.runtime.database
    stopping = threading.Event()
    thread = threading.Thread(target=validation(client, SLEEPS).run, args=(stopping,))
    thread.start()
    time.sleep(4.5)  # longer than the lease
    assert validation_leases.take_back_expired(database, 3) == []
    assert validation_leases.claim(database, "other", 30) is None
    stopping.set()
    thread.join(10)
    assert not thread.is_alive()
    assert validation_leases.claim(database, "other", 30) is not None


def test_reading_stands_in_the_jobs_trace_and_says_that_it_failed(waiting, settings):
    client, job_id = waiting
    runtime = client.app.state.runtime
    with runtime.database.write() as session:
        jobs.lock(session, job_id).traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with collecting() as collector:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-worker")
        reader = Validation(runtime.settings, runtime.database, "w", DIES, made)
        assert reader.look(threading.Event())
        made.end()
        (span,) = collector.named("texts")
    assert (span.trace_id, span.parent_id) == ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    assert span.attributes == {"inkling.job_id": job_id, "error.type": "texts_not_read"}
