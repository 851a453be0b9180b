"""What is asked of a job that is there, over the wire: from cancel to delete. No worker runs here."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.db.tables import job
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow
from app.llm.errors import TrainingStopped
from app.services import leases
from app.services.leases import Claim
from app.services.progress import Progress
from tests.api.native.conftest import add_base, ask, refusal
from tests.jobs_made import a_job, a_model, queued

TIDES = {"dataset": "the-tide-clock", "weight": 1.0}


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


def test_how_a_job_is_cancelled_is_said_in_a_body(client):
    job_id = with_checkpoint(client, "paused")
    kept = client.post(f"/jobs/{job_id}/cancel", json={"keep_model": True}).json()
    assert (kept["status"], kept["cancel_requested"]) == ("queued", True)
    assert client.post(f"/jobs/{job_id}/cancel", json={}).json()["status"] == "cancelled"
    assert refusal(client.post(f"/jobs/{job_id}/cancel", json={"keep": 1})) == (422, "unknown_field", "keep")


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


def failed(client: TestClient, **fields: object) -> str:
    job_id = ask(client, **fields).json()["id"]
    pen(client, claimed(client)).fail("out_of_memory", "too much")
    return str(job_id)


def test_a_failed_job_is_tried_again_with_its_attempts_counted_anew(client):
    job_id = failed(client, name="tide")
    database = client.app.state.runtime.database
    retried = client.post(f"/jobs/{job_id}/retry")
    assert retried.status_code == 200
    job = retried.json()
    assert (job["status"], job["error"], job["finished_at"]) == ("queued", None, None)
    assert refusal(client.post(f"/jobs/{job_id}/retry")) == (409, "conflict", None)
    claim = claimed(client)
    assert (claim.job_id, claim.fence) == (job_id, 2)
    assert leases.give_up(database, claim, 2, leases.Loss("killed", "a test")).status == "queued"
    client.post(f"/jobs/{job_id}/cancel")
    again = client.post(f"/jobs/{job_id}/retry").json()
    assert (again["status"], again["cancel_requested"]) == ("queued", False)
    assert refusal(client.post("/jobs/nope/retry")) == (404, "job_not_found", None)


def test_a_job_is_not_tried_again_without_what_it_needs(client):
    text = client.post("/datasets", files={"file": ("a.txt", b"the tide and the clock " * 200)}).json()["id"]
    gone, named = failed(client, dataset=text), failed(client, name="tide")
    assert client.delete(f"/datasets/{text}").status_code == 200
    assert refusal(client.post(f"/jobs/{gone}/retry")) == (404, "dataset_not_found", "dataset")
    other = ask(client, name="tide").json()["id"]
    assert refusal(client.post(f"/jobs/{named}/retry")) == (409, "name_taken", "name")
    client.post(f"/jobs/{other}/cancel")
    assert client.post(f"/jobs/{named}/retry").status_code == 200


def test_a_job_whose_own_model_has_its_name_is_told_so(client):
    job_id = failed(client, name="tide")
    with client.app.state.runtime.database.write() as session:
        session.add(a_model("tide", job_id=job_id))
    answer = client.post(f"/jobs/{job_id}/retry")
    assert refusal(answer) == (409, "name_taken", "name")
    assert f"{job_id} has left a model 'tide'; delete that first" in answer.json()["error"]["message"]
    assert client.delete("/models/tide").status_code == 200
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200


def preferring(client: TestClient, **fields: object) -> str:
    """A dpo job on the model `base`, which failed once it had a checkpoint."""
    rows = b'{"prompt": "the tide", "chosen": "the sea", "rejected": "the clock"}\n' * 4
    pairs = client.post("/datasets", files={"file": ("pairs.jsonl", rows)}).json()["id"]
    job_id = failed(client, **{"recipe": "dpo", "dataset": pairs, "model": "base", "tokenizer": None} | fields)
    save_checkpoint(client, job_id)
    return job_id


def replace_base(client: TestClient) -> None:
    """Another model takes the name of the one that was there."""
    assert client.delete("/models/base").status_code == 200
    add_base(client, seed=1)


@pytest.mark.parametrize("train", [{}, {"lora": {"rank": 2}}])
def test_what_a_job_is_measured_by_must_be_what_it_was(client, train):
    """It was queued, and compared with another network, or stopped by its worker: only the name was looked at."""
    add_base(client)
    job_id = preferring(client, train=train)
    replace_base(client)
    answer = client.post(f"/jobs/{job_id}/retry")
    assert refusal(answer) == (409, "conflict", "model")
    assert f"'base' is another one than when {job_id} was asked for" in answer.json()["error"]["message"]
    assert client.delete("/models/base").status_code == 200
    assert refusal(client.post(f"/jobs/{job_id}/retry")) == (404, "model_not_found", "model")
    add_base(client)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200


@pytest.mark.parametrize("train", [{}, {"lora": {"rank": 2}}])
def test_what_an_unfinished_job_stands_beside_is_held(client, train):
    add_base(client)
    job_id = preferring(client, train=train)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200
    for then in ("pause", "resume", "cancel"):
        assert refusal(client.delete("/models/base")) == (409, "conflict", "name")
        assert client.post(f"/jobs/{job_id}/{then}").status_code == 200
    assert client.delete("/models/base").status_code == 200


def test_a_paused_job_goes_on_with_what_it_began_with(client):
    """A backup that was put back, say: what is deleted over the wire is held."""
    add_base(client)
    job_id = preferring(client)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200
    assert client.post(f"/jobs/{job_id}/pause").status_code == 200
    with client.app.state.runtime.database.write() as session:
        session.get(ModelRow, "base").sha256 = "f" * 64
    assert refusal(client.post(f"/jobs/{job_id}/resume")) == (409, "conflict", "model")


def test_an_evaluation_is_not_finished_with_another_model(client):
    add_base(client)
    job_id = failed(client, recipe="evaluate", model="base", tokenizer=None, evaluate={"kind": "perplexity"})
    replace_base(client)
    assert refusal(client.post(f"/jobs/{job_id}/retry")) == (409, "conflict", "model")


def test_a_job_that_has_all_it_needs_in_its_checkpoint_does_without_its_base(client):
    add_base(client)
    text = {"dataset": "the-tide-clock", "recipe": "pretrain", "train": {"max_steps": 9}}
    job_id = preferring(client, **text)
    replace_base(client)
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200


def test_another_job_like_it_with_changes(client):
    first = ask(client, name="tide", seed=7, train={"epochs": 2, "grad_clip": None}, priority=3).json()
    same = client.post(f"/jobs/{first['id']}/duplicate", json={})
    assert same.status_code == 202
    assert same.headers["location"] == f"/jobs/{same.json()['id']}"
    own = {"id", "name", "created_at"}
    assert {name: value for name, value in same.json().items() if name not in own} == {
        name: value for name, value in first.items() if name not in own
    }
    assert same.json()["name"] not in ("tide", None)
    changes = {"train": {"max_steps": 5, "batch_size": 2}, "seed": 8, "name": "ebb", "model": {"preset": "llama-tiny"}}
    other = client.post(f"/jobs/{first['id']}/duplicate", json=changes).json()
    wanted = first["train"] | {"epochs": None, "max_steps": 5, "batch_size": 2}
    assert (other["train"], other["seed"], other["name"], other["model"]) == (
        wanted,
        8,
        "ebb",
        {"preset": "llama-tiny"},
    )
    assert other["priority"] == 3
    assert client.post(f"/jobs/{first['id']}/duplicate", json={"seed": None}).json()["seed"] != 7


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"name": "tide"}, (409, "name_taken", "name")),
        ({"recipe": "word2vec"}, (422, "unknown_field", "recipe")),
        ({"dataset": "gone"}, (404, "dataset_not_found", "dataset")),
        ({"dataset": None}, (422, "invalid_value", "dataset")),
        ({"train": {"max_steps": 0}}, (422, "invalid_value", "train.max_steps")),
    ],
)
def test_another_job_is_checked_as_any_other(client, changes, expected):
    first = ask(client, name="tide").json()
    assert refusal(client.post(f"/jobs/{first['id']}/duplicate", json=changes)) == expected
    assert refusal(client.post("/jobs/nope/duplicate", json={})) == (404, "job_not_found", None)


def test_another_job_asked_for_twice_with_a_key_is_made_once(client):
    first = ask(client).json()["id"]
    headers = {"idempotency-key": "again"}
    one = client.post(f"/jobs/{first}/duplicate", json={"seed": 3}, headers=headers)
    two = client.post(f"/jobs/{first}/duplicate", json={"seed": 3}, headers=headers)
    assert (one.status_code, two.status_code) == (202, 200)
    assert one.json()["id"] == two.json()["id"] != first
    answer = client.post(f"/jobs/{first}/duplicate", json={"seed": 4}, headers=headers)
    assert refusal(answer) == (409, "idempotency_key_reused", "Idempotency-Key")


def test_another_job_with_a_network_of_its_own_keeps_the_tokenizer(client):
    runtime = client.app.state.runtime
    other = {"name": "others", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=other).status_code == 201
    with runtime.database.write() as session:
        first = a_job(session, model={"name": "old"}, tokenizer="others", datasets=[TIDES]).id
    changes = {"model": {"preset": "gpt-tiny"}}
    assert client.post(f"/jobs/{first}/duplicate", json=changes).json()["tokenizer"] == "others"
    named = client.post(f"/jobs/{first}/duplicate", json=changes | {"tokenizer": "tides"})
    assert named.json()["tokenizer"] == "tides"


def test_word_vectors_of_another_text_have_that_texts_words(client):
    made = client.post("/datasets", files={"file": ("a.txt", b"one two three four five " * 50)}).json()["id"]
    asked = {"recipe": "word2vec", "dataset": "the-tide-clock"}
    along = client.post("/jobs", json=asked).json()
    named = client.post("/jobs", json=asked | {"tokenizer": "tides"}).json()
    assert along["tokenizer"] == "the-tide-clock-words"
    for like, tokenizer in ((along, f"{made}-words"), (named, "tides")):
        other = client.post(f"/jobs/{like['id']}/duplicate", json={"dataset": made})
        assert (other.status_code, other.json().get("tokenizer")) == (202, tokenizer), other.text
    same = client.post(f"/jobs/{along['id']}/duplicate", json={"seed": 1})
    assert same.json()["tokenizer"] == "the-tide-clock-words"


def test_a_job_that_waits_is_put_before_others(client):
    first, second = ask(client).json()["id"], ask(client).json()["id"]
    changed = client.patch(f"/jobs/{second}", json={"priority": 5})
    assert (changed.status_code, changed.json()["priority"]) == (200, 5)
    assert claimed(client).job_id == second
    assert refusal(client.patch(f"/jobs/{second}", json={"priority": 1})) == (409, "conflict", None)
    client.post(f"/jobs/{first}/pause")
    assert client.patch(f"/jobs/{first}", json={"priority": -100}).json()["priority"] == -100
    assert refusal(client.patch(f"/jobs/{first}", json={"priority": 101})) == (422, "invalid_value", "priority")
    assert refusal(client.patch(f"/jobs/{first}", json={})) == (422, "missing_field", "priority")
    assert refusal(client.patch("/jobs/nope", json={"priority": 1})) == (404, "job_not_found", None)


def with_checkpoint(client: TestClient, status: str, **fields: object) -> str:
    job_id = queued(client.app.state.runtime.database, status=status, **fields)
    save_checkpoint(client, job_id)
    return job_id


def save_checkpoint(client: TestClient, job_id: str) -> None:
    runtime = client.app.state.runtime
    runtime.storage.checkpoint(job_id, "step-5-fence-1").mkdir(parents=True)
    with runtime.database.write() as session:
        session.add(
            CheckpointRow(
                id=f"{job_id}@5", job_id=job_id, step=5, attempt=1, fence=1, path="step-5-fence-1",
                size_bytes=9, sha256="0", metrics={"loss": 1.5, "val_loss": None},
            )
        )  # fmt: skip


@pytest.mark.parametrize("status", ["queued", "paused", "succeeded", "failed", "cancelled"])
def test_a_deleted_job_takes_along_all_that_is_its_own(client, status):
    runtime = client.app.state.runtime
    job_id = with_checkpoint(client, status)
    with runtime.database.write() as session:
        session.add(a_model("tide", job_id=job_id))
    gone = client.delete(f"/jobs/{job_id}")
    assert (gone.status_code, gone.json()) == (200, {"object": "job.deleted", "id": job_id, "deleted": True})
    for path in ("", "/events", "/metrics", "/checkpoints"):
        assert refusal(client.get(f"/jobs/{job_id}{path}")) == (404, "job_not_found", None)
    assert not runtime.storage.job(job_id).exists()
    assert list(runtime.storage.scratch.iterdir()) == []
    with runtime.database.read() as session:
        assert session.get(ModelRow, "tide").job_id is None
    assert refusal(client.delete(f"/jobs/{job_id}")) == (404, "job_not_found", None)


def test_a_job_that_is_needed_is_not_deleted(client):
    runtime = client.app.state.runtime
    job_id = with_checkpoint(client, "running")
    assert refusal(client.delete(f"/jobs/{job_id}")) == (409, "conflict", None)
    base = with_checkpoint(client, "succeeded")
    other = queued(runtime.database, model={"name": f"{base}@5"})
    assert refusal(client.delete(f"/jobs/{base}")) == (409, "conflict", None)
    assert runtime.storage.checkpoint(base, "step-5-fence-1").exists()
    assert client.delete(f"/jobs/{other}").status_code == 200
    assert client.delete(f"/jobs/{base}").status_code == 200


def with_checkpoints(client: TestClient, status: str, **fields: object) -> str:
    """A job with checkpoints of steps 5 and 9, of 9 and 90 bytes."""
    job_id = with_checkpoint(client, status, **fields)
    runtime = client.app.state.runtime
    runtime.storage.checkpoint(job_id, "step-9-fence-1").mkdir(parents=True)
    with runtime.database.write() as session:
        session.add(
            CheckpointRow(
                id=f"{job_id}@9", job_id=job_id, step=9, attempt=1, fence=1, path="step-9-fence-1",
                size_bytes=90, sha256="0", metrics={"loss": 1.5, "val_loss": None},
            )
        )  # fmt: skip
    return job_id


def folders(client: TestClient, job_id: str) -> list[str]:
    return sorted(path.name for path in client.app.state.runtime.storage.job(job_id).iterdir())


@pytest.mark.parametrize("status", ["running", "queued", "paused", "succeeded", "failed", "cancelled"])
def test_a_checkpoint_is_deleted_and_the_last_one_of_an_ended_job_too(client, status):
    job_id = with_checkpoints(client, status, result_model="tide", result_checkpoint="x")
    runtime = client.app.state.runtime
    with runtime.database.write() as session:
        job.get(session, job_id).result_checkpoint = f"{job_id}@9"
    assert client.get(f"/jobs/{job_id}").json()["size_bytes"] == 99
    assert [one["size_bytes"] for one in client.get("/jobs").json()["data"]] == [99]
    gone = client.delete(f"/jobs/{job_id}/checkpoints/5")
    assert gone.json() == {"object": "checkpoint.deleted", "id": f"{job_id}@5", "deleted": True}
    assert folders(client, job_id) == ["step-9-fence-1"]
    seen = client.get(f"/jobs/{job_id}").json()
    assert (seen["size_bytes"], seen["result"]["checkpoint"]) == (90, f"{job_id}@9")
    last = client.delete(f"/jobs/{job_id}/checkpoints/9")
    if status in ("running", "queued", "paused"):
        assert refusal(last) == (409, "conflict", None)
        assert folders(client, job_id) == ["step-9-fence-1"]
        return
    assert last.status_code == 200
    seen = client.get(f"/jobs/{job_id}").json()
    assert (seen["size_bytes"], seen["result"]["checkpoint"], folders(client, job_id)) == (0, None, [])
    assert told(client, job_id)[-1] == "the checkpoint of step 9 was deleted"


def test_a_checkpoint_that_is_not_there_or_is_needed(client):
    job_id = with_checkpoints(client, "succeeded")
    for path, expected in (
        (f"{job_id}/checkpoints/6", (404, "checkpoint_not_found", None)),
        (f"{job_id}/checkpoints/-1", (422, "invalid_value", "step")),
        ("nope/checkpoints/5", (404, "job_not_found", None)),
    ):
        assert refusal(client.delete(f"/jobs/{path}")) == expected
    queued(client.app.state.runtime.database, model={"name": f"{job_id}@5"})
    assert refusal(client.delete(f"/jobs/{job_id}/checkpoints/5")) == (409, "conflict", None)
    assert client.delete(f"/jobs/{job_id}/checkpoints/9").status_code == 200
    assert folders(client, job_id) == ["step-5-fence-1"]


def test_a_job_is_not_tried_again_from_a_checkpoint_that_is_gone_unless_it_has_its_own(client):
    database = client.app.state.runtime.database
    job_id, base = failed(client), with_checkpoint(client, "succeeded")
    with database.write() as session:
        session.get(JobRow, job_id).model = {"name": f"{base}@4"}
    assert refusal(client.post(f"/jobs/{job_id}/retry")) == (404, "checkpoint_not_found", "model")
    with database.write() as session:
        session.add(
            CheckpointRow(
                id=f"{job_id}@5", job_id=job_id, step=5, attempt=1, fence=1, path="step-5-fence-1",
                size_bytes=9, sha256="0", metrics={},
            )
        )  # fmt: skip
    assert client.post(f"/jobs/{job_id}/retry").status_code == 200
