"""What is asked of a job that is there, over the wire: cancel, pause, resume. No worker runs here."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.llm.errors import TrainingStopped
from app.services import leases
from app.services.leases import Claim
from app.services.progress import Progress
from tests.api.native.conftest import ask, refusal


def claimed(client: TestClient) -> Claim:
    claim = leases.claim(client.app.state.runtime.database, "w", 30)
    assert claim is not None
    return claim


def pen(client: TestClient, claim: Claim) -> Progress:
    return Progress(client.app.state.runtime.database, claim.job_id, claim.fence)


def told(client: TestClient, job_id: str) -> list[str]:
    return [one["message"] for one in client.get(f"/jobs/{job_id}/events").json()["data"]]


def test_a_queued_job_is_cancelled_at_once_and_once(client):
    job = ask(client).json()
    cancelled = client.post(f"/jobs/{job['id']}/cancel")
    assert cancelled.status_code == 200
    assert cancelled.json()["status"] == "cancelled"
    assert cancelled.json()["finished_at"] is not None
    assert refusal(client.post(f"/jobs/{job['id']}/cancel")) == (409, "conflict", None)
    assert refusal(client.post("/jobs/nope/cancel")) == (404, "job_not_found", None)


def test_a_running_job_is_asked_to_stop(client):
    job = ask(client).json()
    database = client.app.state.runtime.database
    claim = leases.claim(database, "w", 30)
    for _ in range(2):
        answer = client.post(f"/jobs/{job['id']}/cancel")
        assert (answer.status_code, answer.json()["status"], answer.json()["cancel_requested"]) == (
            200,
            "running",
            True,
        )
    progress = Progress(database, claim.job_id, claim.fence)
    with pytest.raises(TrainingStopped), progress.writing() as session:
        progress.succeed(session, "tide", None)
    progress.cancel()
    assert client.get(f"/jobs/{job['id']}").json()["status"] == "cancelled"
    messages = [one["message"] for one in client.get(f"/jobs/{job['id']}/events").json()["data"]]
    assert messages == ["queued", "running", "asked to stop", "cancelled at step 0"]


def test_a_queued_job_is_paused_at_once_and_goes_on_when_it_is_resumed(client):
    job_id = ask(client).json()["id"]
    paused = client.post(f"/jobs/{job_id}/pause")
    assert (paused.status_code, paused.json()["status"], paused.json()["pause_requested"]) == (200, "paused", False)
    assert leases.claim(client.app.state.runtime.database, "w", 30) is None
    assert refusal(client.post(f"/jobs/{job_id}/pause")) == (409, "conflict", None)
    resumed = client.post(f"/jobs/{job_id}/resume")
    assert (resumed.status_code, resumed.json()["status"]) == (200, "queued")
    assert refusal(client.post(f"/jobs/{job_id}/resume")) == (409, "conflict", None)
    assert claimed(client).job_id == job_id
    assert told(client, job_id) == ["queued", "paused before it ran", "queued again", "running"]
    for what in ("pause", "resume"):
        assert refusal(client.post(f"/jobs/nope/{what}")) == (404, "job_not_found", None)


def test_a_running_job_is_asked_to_pause_and_does(client):
    job_id = ask(client).json()["id"]
    claim = claimed(client)
    assert refusal(client.post(f"/jobs/{job_id}/resume")) == (409, "conflict", None)
    for _ in range(2):
        asked = client.post(f"/jobs/{job_id}/pause").json()
        assert (asked["status"], asked["pause_requested"]) == ("running", True)
    pen(client, claim).release("a test")
    paused = client.get(f"/jobs/{job_id}").json()
    assert (paused["status"], paused["pause_requested"], paused["finished_at"]) == ("paused", False, None)
    with pytest.raises(TrainingStopped, match="lost"):
        pen(client, claim).flush()
    assert told(client, job_id) == ["queued", "running", "asked to pause", "paused at step 0"]


def test_a_pause_is_taken_back_before_it_came(client):
    job_id = ask(client).json()["id"]
    claim = claimed(client)
    client.post(f"/jobs/{job_id}/pause")
    taken_back = client.post(f"/jobs/{job_id}/resume").json()
    assert (taken_back["status"], taken_back["pause_requested"]) == ("running", False)
    pen(client, claim).release("a test")  # the trainer had stopped for it already
    assert client.get(f"/jobs/{job_id}").json()["status"] == "queued"


def test_a_paused_job_is_cancelled_and_a_cancelled_one_not_paused(client):
    job_id = ask(client).json()["id"]
    claim = claimed(client)
    client.post(f"/jobs/{job_id}/pause")
    client.post(f"/jobs/{job_id}/cancel")
    for what in ("pause", "resume"):
        assert refusal(client.post(f"/jobs/{job_id}/{what}")) == (409, "conflict", None)
    pen(client, claim).release("a test")
    assert client.get(f"/jobs/{job_id}").json()["status"] == "cancelled"
    other = ask(client).json()["id"]
    client.post(f"/jobs/{other}/pause")
    assert client.post(f"/jobs/{other}/cancel").json()["status"] == "cancelled"
    for what in ("pause", "resume"):
        assert refusal(client.post(f"/jobs/{other}/{what}")) == (409, "conflict", None)


def test_a_paused_job_keeps_what_it_needs(client):
    text = client.post("/datasets", files={"file": ("a.txt", b"the tide and the clock " * 200)}).json()["id"]
    job_id = ask(client, dataset=text, name="tide").json()["id"]
    client.post(f"/jobs/{job_id}/pause")
    assert refusal(client.delete(f"/datasets/{text}"))[:2] == (409, "conflict")
    assert refusal(client.delete("/tokenizers/tides"))[:2] == (409, "conflict")
    assert refusal(ask(client, name="tide")) == (409, "name_taken", "name")
