"""Jobs over the wire: asked for, refused, followed. No worker runs here."""

from __future__ import annotations

import json
import threading
import time

import pytest
from fastapi.testclient import TestClient

from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow
from app.llm.config import ModelConfig
from app.llm.train.config import SkipGramConfig, TrainConfig
from app.services import compiling, leases
from app.services.progress import Progress
from tests.api.native.conftest import TIDE, ask, refusal
from tests.jobs_made import queued
from tests.workers.fake_trainer import Report


def upload(client: TestClient, text: str) -> str:
    return client.post("/datasets", files={"file": ("a.txt", text.encode())}).json()["id"]


def nudges(client: TestClient) -> int:
    folder = client.app.state.runtime.storage.queue / "messages"
    return sum(1 for path in folder.iterdir() if not path.name.startswith("."))


def a_model(client: TestClient, name: str = "tide") -> None:
    """A registered model with the tokenizer `tides`, its folder empty."""
    runtime = client.app.state.runtime
    config = ModelConfig(vocab_size=1000, context_length=64, emb_dim=8, n_heads=2, n_layers=1)
    with runtime.database.write() as session:
        session.add(
            ModelRow(
                name=name, family="gpt2", config=config.to_dict(), tokenizer="tides", parameters=1,
                size_bytes=1, sha256="0",
            )
        )  # fmt: skip
    runtime.storage.model(name).mkdir(parents=True)


def test_a_job_is_queued_with_all_that_it_will_do(client):
    response = ask(client, name="tide", train={"max_steps": 200, "learning_rate": 0.003}, seed=7)
    assert response.status_code == 202
    job = response.json()
    assert response.headers["location"] == f"/jobs/{job['id']}"
    assert job | {"created_at": 0} == {
        "object": "job",
        "id": job["id"],
        "recipe": "pretrain",
        "name": "tide",
        "status": "queued",
        "step": 0,
        "total_steps": 200,
        "progress": 0.0,
        "dataset": "the-tide-clock",
        "model": {"preset": "gpt-tiny"},
        "tokenizer": "tides",
        "validation": 0.1,
        "test": None,
        "columns": {},
        "train": TrainConfig(max_steps=200, learning_rate=0.003).__dict__,
        "evaluate": None,
        "device": "auto",
        "devices": 1,
        "priority": 0,
        "seed": 7,
        "attempt": 0,
        "size_bytes": 0,
        "cancel_requested": False,
        "pause_requested": False,
        "waiting_for": None,
        "created_at": 0,
        "started_at": None,
        "finished_at": None,
        "webhook": None,
        "error": None,
        "result": None,
    }
    assert abs(job["created_at"] - time.time()) < 10
    lacking = {"waiting_for": "no worker is alive; `inkling worker` starts one"}
    assert client.get(f"/jobs/{job['id']}").json() == job | lacking
    assert nudges(client) == 1
    events = client.get(f"/jobs/{job['id']}/events").json()["data"]
    assert [(one["type"], one["message"], one["data"]) for one in events] == [
        ("status", "queued", {"status": "queued"})
    ]


def test_a_request_sent_twice_makes_one_job(client):
    headers = {"idempotency-key": "k-1"}
    body = TIDE | {"name": "tide", "train": {"max_steps": 5}}
    first = client.post("/jobs", json=body, headers=headers)
    again = client.post("/jobs", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json() == first.json()
    assert again.headers["location"] == first.headers["location"]
    assert nudges(client) == 1
    other = client.post("/jobs", json=body | {"seed": 3}, headers=headers)
    assert refusal(other) == (409, "idempotency_key_reused", "Idempotency-Key")
    assert refusal(client.post("/jobs", json=body, headers={"idempotency-key": "x" * 256})) == (
        422, "invalid_value", "Idempotency-Key",
    )  # fmt: skip


def test_what_is_left_out_is_filled_in(client):
    job = client.post("/jobs", json={"recipe": "pretrain", "dataset": "the-tide-clock"}).json()
    assert job["model"] == {"preset": "gpt-tiny"}
    assert job["tokenizer"] == "tides"
    assert job["total_steps"] is None
    assert job["name"].startswith("gpt-")
    assert 0 <= job["seed"] < 2**31
    assert job["train"] == TrainConfig().__dict__
    again = client.post("/jobs", json={"recipe": "pretrain", "dataset": "the-tide-clock"}).json()
    assert again["name"] != job["name"]
    assert again["seed"] != job["seed"]


@pytest.mark.parametrize(
    "model",
    [
        {"preset": "llama-tiny"},
        {"preset": "gpt-tiny", "emb_dim": 128, "n_heads": 8},
        {"context_length": 32, "emb_dim": 32, "n_heads": 2, "n_layers": 2, "drop_rate": 0.1, "qkv_bias": False},
    ],
)
def test_a_network_is_asked_for_by_preset_or_by_fields(client, model):
    response = ask(client, model=model)
    assert response.status_code == 202
    assert response.json()["model"] == model


def test_a_preset_fills_in_what_is_left_out(client):
    job = ask(client, train={"preset": "book-ch05", "context_length": 32, "stride": 32}).json()
    assert job["model"] == {"preset": "gpt2-124m", "context_length": 256, "qkv_bias": False, "tied": False}
    assert (job["seed"], job["tokenizer"], job["validation"]) == (123, "tides", 0.1)
    train = job["train"]
    assert (train["epochs"], train["order"], train["context_length"]) == (10, "book", 32)
    assert "preset" not in train
    again = client.post(f"/jobs/{job['id']}/duplicate", json={}).json()
    assert (again["train"], again["model"], again["seed"]) == (train, job["model"], 123)


def test_a_webhooks_secret_is_never_shown(client, monkeypatch):
    monkeypatch.setattr("app.services.addresses.check", lambda _url, private: None)
    secret = "whsec_" + "QUJD" * 8
    job = ask(client, name="told", webhook={"url": "https://hooks.example/a", "secret": secret})
    assert job.status_code == 202
    assert job.json()["webhook"] == {"url": "https://hooks.example/a"}
    shown = [job.text, client.get("/jobs").text, client.get(f"/jobs/{job.json()['id']}/events").text]
    assert not any("QUJD" in text for text in shown)
    assert client.post(f"/jobs/{job.json()['id']}/duplicate", json={}).json()["webhook"] is None


def test_a_mixture_and_a_text_to_measure_on(client):
    other = upload(client, "the tide and the clock " * 100)
    shares = [{"dataset": "the-tide-clock", "weight": 3.0}, {"dataset": other, "weight": 1.0}]
    response = ask(client, dataset=shares, validation=other)
    assert response.status_code == 202
    assert response.json()["dataset"] == shares
    assert response.json()["validation"] == other
    alone = ask(client, dataset=[{"dataset": other}], validation=0).json()
    assert alone["dataset"] == other
    assert alone["validation"] == 0


def test_a_known_model_goes_on_with_its_own_tokenizer(client):
    a_model(client)
    job = ask(client, model="tide", tokenizer=None, train={"trainable": "last_block"}).json()
    assert (job["model"], job["tokenizer"]) == ("tide", "tides")
    assert job["name"].startswith("tide-")
    client.post("/tokenizers", json={"name": "other", "kind": "word", "version": 2, "dataset": "the-tide-clock"})
    assert refusal(ask(client, model="tide", tokenizer="other")) == (422, "invalid_value", "tokenizer")
    assert ask(client, model="tide", tokenizer="tides").status_code == 202


def test_a_checkpoint_is_gone_on_from(client):
    a_model(client)
    runtime = client.app.state.runtime
    folder = runtime.storage.checkpoint("job_1", "step-5-fence-1")
    folder.mkdir(parents=True)
    with runtime.database.read() as session:
        config = session.get(ModelRow, "tide").config
    about = {"family": "gpt2", "config": config, "tokenizer": "tides", "chat_template": None}
    (folder / "model.json").write_text(json.dumps(about))
    weights = {"model.safetensors": {"size_bytes": 9, "sha256": "0"}}
    (folder / "manifest.json").write_text(json.dumps({"files": weights}))
    queued(runtime.database, id="job_1", status="succeeded")
    with runtime.database.write() as session:
        session.add(
            CheckpointRow(
                id="job_1@5", job_id="job_1", step=5, attempt=1, fence=1, path="step-5-fence-1",
                size_bytes=9, sha256="0", metrics={"loss": 1.5, "val_loss": None},
            )
        )  # fmt: skip
    assert ask(client, model="job_1@5", tokenizer=None).status_code == 202
    (folder / "model.json").write_text("{")
    assert refusal(ask(client, model="job_1@5", tokenizer=None)) == (424, "data_missing", "model")
    listed = client.get("/jobs/job_1/checkpoints").json()
    assert listed["data"] == [
        {
            "object": "checkpoint",
            "id": "job_1@5",
            "job": "job_1",
            "step": 5,
            "attempt": 1,
            "size_bytes": 9,
            "sha256": "0",
            "metrics": {"loss": 1.5, "val_loss": None},
            "is_best": False,
            "created_at": listed["data"][0]["created_at"],
        }
    ]


REFUSED = [
    ({"dataset": "nope"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": "\0"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": "\ud800"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": []}, 422, "invalid_value", "dataset"),
    ({"dataset": 7}, 422, "invalid_value", "dataset"),
    ({"dataset": [{"dataset": "the-tide-clock", "weight": 0}]}, 422, "invalid_value", "dataset.0.weight"),
    ({"dataset": [{"dataset": "the-tide-clock"}, {"dataset": "no"}]}, 404, "dataset_not_found", "dataset.1.dataset"),
    ({"validation": "nope"}, 404, "dataset_not_found", "validation"),
    ({"validation": 0.0001}, 422, "invalid_value", "validation"),
    ({"validation": 1}, 422, "invalid_value", "validation"),
    ({"validation": -0.1}, 422, "invalid_value", "validation"),
    ({"validation": True}, 422, "invalid_value", "validation"),
    ({"recipe": "dpo"}, 422, "missing_field", "model"),
    ({"model": "nope"}, 404, "model_not_found", "model"),
    ({"model": "job_1@7"}, 404, "checkpoint_not_found", "model"),
    ({"model": "smollm2-135m-instruct", "tokenizer": None}, 424, "data_missing", "model"),
    ({"model": {"preset": "gpt-5"}}, 422, "invalid_value", "model.preset"),
    ({"webhook": {"url": "http://127.0.0.1/"}}, 422, "invalid_value", "webhook.url"),
    ({"webhook": {"url": "http://a.invalid/", "secret": "x"}}, 422, "invalid_value", "webhook.secret"),
    ({"webhook": {}}, 422, "missing_field", "webhook.url"),
    ({"train": {"preset": "book-ch99"}}, 422, "invalid_value", "train.preset"),
    ({"train": {"order": "book"}}, 422, "invalid_value", "model.tied"),
    ({"train": {"eval_offset": 20}}, 422, "invalid_value", "train.eval_offset"),
    ({"model": {"emb_dim": 32}}, 422, "invalid_value", "model.context_length"),
    ({"model": {"preset": "gpt-tiny", "emb_dim": 33}}, 422, "invalid_value", "model.n_heads"),
    ({"model": {"preset": "gpt-tiny", "emb_dim": 10**30}}, 422, "invalid_value", "model.emb_dim"),
    ({"model": {"preset": "gpt-tiny", "emb_dim": "64"}}, 422, "invalid_value", "model.emb_dim"),
    ({"model": {"preset": "gpt-tiny", "emb_dim": 2**17, "n_heads": 1}}, 422, "invalid_value", "model"),
    ({"model": {"preset": "gpt-tiny", "n_layers": 0}}, 422, "invalid_value", "model.n_layers"),
    ({"model": {"preset": "gpt-tiny", "drop_rate": 1}}, 422, "invalid_value", "model.drop_rate"),
    ({"model": {"preset": "gpt-tiny", "vocab_size": 5}}, 422, "invalid_value", "model.vocab_size"),
    ({"model": {"preset": "gpt-tiny", "rope_base": 0}}, 422, "invalid_value", "model.rope_base"),
    ({"model": {"presets": "gpt-tiny"}}, 422, "unknown_field", "model.presets"),
    ({"model": 5}, 422, "invalid_value", "model"),
    ({"tokenizer": "nope"}, 404, "tokenizer_not_found", "tokenizer"),
    ({"tokenizer": "gpt2"}, 424, "data_missing", "tokenizer"),
    ({"train": {"max_steps": 0}}, 422, "invalid_value", "train.max_steps"),
    ({"train": {"max_steps": 10**12}}, 422, "invalid_value", "train.max_steps"),
    ({"train": {"max_steps": 5, "epochs": 1}}, 422, "invalid_value", "train.epochs"),
    ({"train": {"epochs": 10**6}}, 422, "invalid_value", "train.epochs"),
    ({"train": {"learning_rate": 0}}, 422, "invalid_value", "train.learning_rate"),
    ({"train": {"learning_rate": -1}}, 422, "invalid_value", "train.learning_rate"),
    ({"train": {"learning_rate": 1e9}}, 422, "invalid_value", "train.learning_rate"),
    ({"train": {"learning_rate": float("nan")}}, 422, "invalid_value", "train.learning_rate"),
    ({"train": {"batch_size": 0}}, 422, "invalid_value", "train.batch_size"),
    ({"train": {"batch_size": 2**20}}, 422, "invalid_value", "train.batch_size"),
    ({"train": {"batch_size": "8"}}, 422, "invalid_value", "train.batch_size"),
    ({"train": {"batch_size": True}}, 422, "invalid_value", "train.batch_size"),
    ({"train": {"context_length": 65}}, 422, "invalid_value", "train.context_length"),
    ({"train": {"sample_tokens": 10**6}}, 422, "invalid_value", "train.sample_tokens"),
    ({"train": {"sample_prompt": " "}}, 422, "invalid_value", "train.sample_prompt"),
    ({"train": {"sample_prompt": "a\0b"}}, 422, "invalid_value", "train.sample_prompt"),
    ({"train": {"accumulate": 0}}, 422, "invalid_value", "train.accumulate"),
    ({"train": {"accumulate": 2.0}}, 422, "invalid_value", "train.accumulate"),
    ({"train": {"precision": "float16"}}, 422, "invalid_value", "train.precision"),
    ({"train": {"compile": 1}}, 422, "invalid_value", "train.compile"),
    ({"train": {"patience": 0}}, 422, "invalid_value", "train.patience"),
    ({"train": {"patience": 2}, "validation": 0}, 422, "invalid_value", "train.patience"),
    ({"train": {"min_improvement": 0.1}}, 422, "invalid_value", "train.min_improvement"),
    ({"train": {"patience": 2, "min_improvement": -0.1}}, 422, "invalid_value", "train.min_improvement"),
    ({"train": {"keep_best": None}}, 422, "invalid_value", "train.keep_best"),
    ({"train": {"precision": "bfloat16"}, "recipe": "word2vec"}, 422, "invalid_value", "train.precision"),
    ({"train": {"lr": 0.1}}, 422, "unknown_field", "train.lr"),
    ({"train": None}, 422, "invalid_value", "train"),
    ({"name": "../x"}, 422, "invalid_value", "name"),
    ({"name": ""}, 422, "invalid_value", "name"),
    ({"name": "smollm2-135m-instruct"}, 409, "name_taken", "name"),
    ({"seed": -1}, 422, "invalid_value", "seed"),
    ({"seed": 2**63}, 422, "invalid_value", "seed"),
    ({"devices": 0}, 422, "invalid_value", "devices"),
    ({"devices": 65}, 422, "invalid_value", "devices"),
    ({"devices": 3}, 422, "invalid_value", "train.batch_size"),
    ({"devices": 2, "recipe": "word2vec"}, 422, "invalid_value", "devices"),
    (
        {"devices": 2, "model": {"preset": "gpt-tiny", "tied": False}, "train": {"order": "book"}},
        422,
        "invalid_value",
        "devices",
    ),
    ({"devices": 2, "sharding": "full"}, 422, "unknown_field", "sharding"),
    ({"devices": 2, "train": {"shard": "half"}}, 422, "invalid_value", "train.shard"),
    ({"train": {"shard": "always"}}, 422, "invalid_value", "train.shard"),
    ({"devices": 2, "train": {"shard": "always", "trainable": "last_block"}}, 422, "invalid_value", "train.shard"),
    ({"devices": 2, "train": {"shard": "always", "compile": True}}, 422, "invalid_value", "train.shard"),
    ({"devices": 2, "train": {"shard": "always", "order": "book"}}, 422, "invalid_value", "train.shard"),
    ({"recipe": "word2vec", "train": {"shard": "always"}}, 422, "unknown_field", "train.shard"),
    ({"device": "tpu"}, 422, "invalid_value", "device"),
    ({"priority": 101}, 422, "invalid_value", "priority"),
    ({"callback": "http://127.0.0.1"}, 422, "unknown_field", "callback"),
]


def test_compilation_is_refused_where_the_workers_have_no_compiler(client, monkeypatch):
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    assert refusal(ask(client, train={"compile": True})) == (422, "compiler_missing", "train.compile")
    assert ask(client, train={"compile": False}).status_code == 202


@pytest.mark.parametrize(("fields", "status", "code", "param"), REFUSED, ids=[json.dumps(case[0]) for case in REFUSED])
def test_a_job_that_cannot_be_done_is_refused_and_nothing_is_written(client, fields, status, code, param):
    assert refusal(ask(client, **fields)) == (status, code, param)
    assert client.get("/jobs").json() == {"object": "list", "data": [], "has_more": False}
    assert nudges(client) == 0


def test_a_body_that_is_no_job(client):
    for body, expected in (
        (b"", (422, "missing_field", None)),
        (b"{", (400, "invalid_json", None)),
        (b"[]", (422, "invalid_value", None)),
        (b'{"recipe": "pretrain"}', (422, "missing_field", "dataset")),
        (b'{"dataset": "the-tide-clock"}', (422, "missing_field", "recipe")),
        (b'{"dataset": ' + b"[" * 50_000, (400, "invalid_json", None)),
    ):
        answer = client.post("/jobs", content=body, headers={"content-type": "application/json"})
        assert refusal(answer) == expected, body[:50]


def test_a_text_shorter_than_one_window_is_refused_with_the_numbers(client):
    short = upload(client, "the tide " * 32)  # 64 tokens, and a window needs one more
    answer = ask(client, dataset=short, validation=0)
    assert refusal(answer) == (422, "invalid_value", "dataset")
    assert "64 tokens" in answer.json()["error"]["message"]
    assert "65" in answer.json()["error"]["message"]
    assert ask(client, dataset=upload(client, "the tide " * 32 + "the"), validation=0).status_code == 202
    assert ask(client, dataset=short, validation=0, train={"context_length": 63}).status_code == 202
    answer = ask(client, dataset=upload(client, "the tide " * 200))  # of whose last tenth there are 40
    assert refusal(answer) == (422, "invalid_value", "validation")
    assert refusal(ask(client, validation=short)) == (422, "invalid_value", "validation")


def test_a_word_that_the_tokenizer_does_not_know_is_refused(client):
    client.post("/tokenizers", json={"name": "strict", "kind": "word", "version": 1, "dataset": "the-tide-clock"})
    other = upload(client, "an unheardofword " * 200)
    fields = {"tokenizer": "strict", "train": {"sample_prompt": "the"}}
    assert refusal(ask(client, dataset=other, **fields)) == (422, "unknown_word", "dataset")
    fields = {"tokenizer": "strict", "train": {"sample_prompt": "unheardofword"}}
    assert refusal(ask(client, **fields)) == (422, "unknown_word", "train.sample_prompt")


def test_a_text_without_its_file_is_refused(client):
    gone = upload(client, "the tide " * 1000)
    client.app.state.runtime.storage.dataset(gone).unlink()
    assert refusal(ask(client, dataset=gone))[:2] == (424, "data_missing")


def test_one_name_is_one_model(client):
    job = ask(client, name="tide").json()
    assert refusal(ask(client, name="tide")) == (409, "name_taken", "name")
    client.post(f"/jobs/{job['id']}/cancel")
    assert ask(client, name="tide").status_code == 202


def test_of_many_who_ask_for_one_name_at_once_one_gets_it(client):
    statuses: list[int] = []
    barrier = threading.Barrier(5)

    def run() -> None:
        barrier.wait()
        statuses.append(ask(client, name="tide").status_code)

    threads = [threading.Thread(target=run) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [202, 409, 409, 409, 409]


def test_lists_come_in_pages(client):
    ids = [ask(client).json()["id"] for _ in range(3)]
    first = client.get("/jobs", params={"limit": 2}).json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    second = client.get("/jobs", params={"after": ids[1]}).json()
    assert ([job["id"] for job in second["data"]], second["has_more"]) == ([ids[0]], False)
    assert refusal(client.get("/jobs", params={"after": "nope"})) == (404, "job_not_found", "after")
    assert refusal(client.get("/jobs", params={"page": 2})) == (422, "unknown_field", "page")


def test_a_list_is_narrowed(client):
    a_model(client)
    first, second = ask(client, name="ebb").json()["id"], ask(client, model="tide", tokenizer=None).json()["id"]
    third = ask(client).json()["id"]
    client.post(f"/jobs/{second}/pause")
    client.post(f"/jobs/{third}/cancel")

    def found(**params: object) -> list[str]:
        return [job["id"] for job in client.get("/jobs", params=params).json()["data"]]

    assert found(status="queued") == [first]
    assert found(status=["paused", "cancelled"]) == [third, second]
    assert found(model="ebb") == [first]
    assert found(model="tide") == [second]
    assert found(model="tide", status="queued") == []
    assert found(recipe="pretrain") == [third, second, first]
    assert found(recipe="word2vec") == []
    page = client.get("/jobs", params={"status": ["paused", "cancelled"], "limit": 1}).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == ([third], True)
    assert found(status=["paused", "cancelled"], limit=1, after=third) == [second]
    for params, field in (({"status": "done"}, "status.0"), ({"recipe": "x"}, "recipe"), ({"model": "\0"}, "model")):
        assert refusal(client.get("/jobs", params=params)) == (422, "invalid_value", field)


def test_metrics_and_events_of_a_run(client):
    job = ask(client).json()
    database = client.app.state.runtime.database
    claim = leases.claim(database, "w", 30)
    progress = Progress(database, claim.job_id, claim.fence)
    for step in range(5):
        progress.report(Report(step, 5, loss=None if step == 0 else 5.0 - step, val_loss=4.5 if step == 4 else None))
    path = f"/jobs/{job['id']}"
    rows = client.get(f"{path}/metrics").json()["data"]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4]
    assert set(rows[0]) == {
        "step", "created_at", "loss", "train_loss", "val_loss", "learning_rate", "grad_norm", "tokens", "tokens_per_s",
        "peak_share", "data_share", "report_share", "seconds_left", "memory_bytes", "device_memory_bytes", "figures",
    }  # fmt: skip
    assert (rows[0]["loss"], rows[4]["loss"], rows[4]["val_loss"]) == (None, 1.0, 4.5)
    later = client.get(f"{path}/metrics", params={"after": 1, "limit": 2}).json()
    assert ([row["step"] for row in later["data"]], later["has_more"]) == ([2, 3], True)
    events = client.get(f"{path}/events", params={"after": 2}).json()["data"]
    assert [one["type"] for one in events] == ["metrics"] * 5
    assert events[-1]["data"] == rows[4]
    assert events[-1]["message"] == "step 4 of 5, loss 1.0000, validation loss 4.5000"
    shown = client.get(path).json()
    assert (shown["step"], shown["total_steps"], shown["progress"]) == (4, 5, 0.8)
    for name in ("metrics", "events", "checkpoints"):
        assert refusal(client.get(f"/jobs/nope/{name}")) == (404, "job_not_found", None)
    assert refusal(client.get(f"{path}/events", params={"after": -1})) == (422, "invalid_value", "after")


def frames(text: str) -> list[tuple[str, dict]]:
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines())
        found.append((fields["id"], json.loads(fields["data"])))
    return found


def test_events_of_a_job_that_is_deleted_end(client):
    job = ask(client).json()["id"]

    def delete() -> None:
        time.sleep(0.3)
        assert client.delete(f"/jobs/{job}").status_code == 200

    deleter = threading.Thread(target=delete)
    deleter.start()
    telling = TestClient(client.app, raise_server_exceptions=True)
    answer = telling.get(f"/jobs/{job}/events", headers={"accept": "text/event-stream"})
    deleter.join()
    assert [data["message"] for _, data in frames(answer.text)] == ["queued"]
    assert refusal(client.get(f"/jobs/{job}/events")) == (404, "job_not_found", None)


def test_events_are_followed_to_the_last_one(client):
    job = ask(client).json()
    database = client.app.state.runtime.database

    def run() -> None:
        time.sleep(0.3)
        claim = leases.claim(database, "w", 30)
        progress = Progress(database, claim.job_id, claim.fence)
        progress.sample(1, "Two\nlines\0")
        time.sleep(0.7)
        progress.fail("training_diverged", "at step 2 the loss became nan", "train.learning_rate")

    runner = threading.Thread(target=run)
    runner.start()
    headers = {"accept": "text/event-stream"}
    answer = client.get(f"/jobs/{job['id']}/events", headers=headers)
    runner.join()
    assert answer.headers["content-type"].startswith("text/event-stream")
    got = frames(answer.text)
    assert [data["type"] for _, data in got] == ["status", "status", "sample", "status"]
    assert [int(number) for number, _ in got] == [data["id"] for _, data in got]
    assert got[2][1]["data"] == {"step": 1, "text": "Two\nlines\0"}
    assert got[3][1]["level"] == "error"
    assert client.get(f"/jobs/{job['id']}").json()["error"] == {
        "code": "training_diverged",
        "message": "at step 2 the loss became nan",
        "param": "train.learning_rate",
    }
    rest = client.get(f"/jobs/{job['id']}/events", headers=headers | {"last-event-id": got[1][0]})
    assert frames(rest.text) == got[2:]
    for wrong in ("x", "-1", "9" * 40):
        assert refusal(client.get(f"/jobs/{job['id']}/events", headers=headers | {"last-event-id": wrong})) == (
            422, "invalid_value", "Last-Event-ID",
        )  # fmt: skip
    assert refusal(client.get("/jobs/nope/events", headers=headers)) == (404, "job_not_found", None)


@pytest.mark.parametrize("job_id", ["nope", "%00", "a" * 500, "%ED%A0%80", "..%2F.."])
def test_ids_that_are_none(client, job_id):
    for path in ("", "/metrics", "/events", "/checkpoints"):
        answer = client.get(f"/jobs/{job_id}{path}")
        assert answer.status_code == 404
        assert set(answer.json()) == {"error"}
    assert client.post(f"/jobs/{job_id}/cancel").status_code == 404


def test_a_job_is_written_although_the_broker_is_away(client):
    nudger = client.app.state.runtime.nudger
    folder = client.app.state.runtime.storage.queue / "messages"
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    job = ask(client).json()
    assert client.get(f"/jobs/{job['id']}").json()["status"] == "queued"
    folder.mkdir()
    nudger.send(job["id"])
    assert nudges(client) == 1


def test_the_rows_are_as_the_trainer_wants_them(client):
    ask(client, validation="the-tide-clock")
    with client.app.state.runtime.database.read() as session:
        row = session.query(JobRow).one()
    assert row.datasets == [{"dataset": "the-tide-clock", "weight": 1.0}]
    assert row.validation == {"dataset": "the-tide-clock"}
    assert TrainConfig(**row.train) == TrainConfig()


WORDS = {"recipe": "word2vec", "dataset": "the-tide-clock"}


def test_word_vectors_are_asked_for_with_a_tokenizer_made_along(client):
    response = client.post("/jobs", json=WORDS | {"model": {"emb_dim": 32}, "train": {"window": 3}, "seed": 1})
    assert response.status_code == 202, response.text
    job = response.json()
    assert (job["recipe"], job["model"], job["tokenizer"]) == ("word2vec", {"emb_dim": 32}, "the-tide-clock-words")
    assert job["name"].startswith("word2vec-")
    assert job["train"] == SkipGramConfig(window=3).__dict__
    made = {row["name"]: row for row in client.get("/tokenizers").json()["data"]}["the-tide-clock-words"]
    assert (made["kind"], made["version"], made["dataset"]) == ("word", 2, "the-tide-clock")
    again = client.post("/jobs", json=WORDS).json()
    assert (again["tokenizer"], again["model"]) == ("the-tide-clock-words", {"emb_dim": 100})
    named = client.post("/jobs", json=WORDS | {"tokenizer": "tides", "train": {"sample_prompt": "the tide"}}).json()
    assert named["tokenizer"] == "tides"
    with client.app.state.runtime.database.read() as session:
        assert SkipGramConfig(**session.query(JobRow).first().train).window == 3


REFUSED_WORDS = [
    ({"model": "tide"}, 422, "invalid_value", "model"),
    ({"model": {"preset": "gpt-tiny"}}, 422, "unknown_field", "model.preset"),
    ({"model": {"n_heads": 2}}, 422, "unknown_field", "model.n_heads"),
    ({"model": {"emb_dim": 0}}, 422, "invalid_value", "model.emb_dim"),
    ({"model": {"emb_dim": 5000}}, 422, "invalid_value", "model.emb_dim"),
    ({"train": {"context_length": 8}}, 422, "unknown_field", "train.context_length"),
    ({"train": {"trainable": "all"}}, 422, "unknown_field", "train.trainable"),
    ({"train": {"sample_tokens": 8}}, 422, "unknown_field", "train.sample_tokens"),
    ({"train": {"window": 0}}, 422, "invalid_value", "train.window"),
    ({"train": {"negatives": 101}}, 422, "invalid_value", "train.negatives"),
    ({"train": {"subsample": 0}}, 422, "invalid_value", "train.subsample"),
    ({"train": {"subsample": float("nan")}}, 422, "invalid_value", "train.subsample"),
    ({"train": {"batch_size": 2**17}}, 422, "invalid_value", "train.batch_size"),
    ({"train": {"sample_prompt": " "}}, 422, "invalid_value", "train.sample_prompt"),
    ({"tokenizer": "nope"}, 404, "tokenizer_not_found", "tokenizer"),
    ({"dataset": "nope"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": [{"dataset": "the-tide-clock"}]}, 422, "invalid_value", "tokenizer"),
    ({"name": "smollm2-135m-instruct"}, 409, "name_taken", "name"),
]


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"), REFUSED_WORDS, ids=[json.dumps(case[0]) for case in REFUSED_WORDS]
)
def test_word_vectors_that_cannot_be_learnt_are_refused_and_nothing_is_written(client, fields, status, code, param):
    response = client.post("/jobs", content=json.dumps(WORDS | fields), headers={"content-type": "application/json"})
    assert refusal(response) == (status, code, param)
    assert client.get("/jobs").json()["data"] == []
    assert "the-tide-clock-words" not in {row["name"] for row in client.get("/tokenizers").json()["data"]}
    assert not client.app.state.runtime.storage.tokenizer("the-tide-clock-words").exists()


def test_the_settings_of_one_recipe_are_not_those_of_another(client):
    for name, value in (("window", 5), ("negatives", 5), ("subsample", None)):
        assert refusal(ask(client, train={name: value})) == (422, "unknown_field", f"train.{name}")


def test_another_tokenizer_of_the_name_to_make_is_not_taken_for_it(client):
    other = upload(client, "the tide " * 200)
    new = {"name": "the-tide-clock-words", "kind": "word", "version": 2, "dataset": other}
    assert client.post("/tokenizers", json=new).status_code == 201
    assert refusal(client.post("/jobs", json=WORDS)) == (422, "invalid_value", "tokenizer")
    assert refusal(client.post("/jobs", json=WORDS | {"dataset": upload(client, "a b c d e")})) == (
        422, "invalid_value", "dataset",
    )  # fmt: skip


def rows(client, *values: dict[str, object]) -> str:
    content = "".join(json.dumps(one) + "\n" for one in values).encode()
    return client.post("/datasets", files={"file": ("a.jsonl", content)}).json()["id"]


def test_rows_are_learnt_from_by_a_column(client):
    row = {"title": "the clock", "body": "the tide " * 30}
    dataset = rows(client, *[row] * 40)
    answer = ask(client, dataset=dataset)
    assert refusal(answer) == (422, "invalid_value", "dataset")
    assert "title, body" in answer.json()["error"]["message"]
    share = {"dataset": dataset, "column": "body"}
    made = ask(client, dataset=[share], validation=dataset)
    assert made.status_code == 202, made.text
    assert made.json()["dataset"] == [share | {"weight": 1.0}]
    assert made.json()["validation"] == share
    odd = ask(client, dataset=[share | {"column": "none"}])
    assert refusal(odd) == (422, "invalid_value", "dataset.0.column")
    text = ask(client, dataset=[{"dataset": "the-tide-clock", "column": "body"}])
    assert refusal(text) == (422, "invalid_value", "dataset.0.column")


def test_rows_to_measure_on_are_read_by_a_column(client):
    dataset = rows(client, *[{"title": "the clock", "body": "the tide " * 30}] * 40)
    answer = ask(client, validation=dataset)
    assert refusal(answer) == (422, "invalid_value", "validation")
    assert "as in {dataset, column}: title, body" in answer.json()["error"]["message"]
    share = {"dataset": dataset, "column": "body"}
    made = ask(client, validation=share)
    assert (made.status_code, made.json().get("validation")) == (202, share), made.text
    assert client.post(f"/jobs/{made.json()['id']}/duplicate", json={}).json()["validation"] == share
    assert refusal(client.delete(f"/datasets/{dataset}"))[:2] == (409, "conflict")
    for wrong, field in (
        (share | {"column": "none"}, "validation.column"),
        (share | {"weight": 1}, "validation.weight"),
        ({"column": "body"}, "validation.dataset"),
        ({"dataset": "nope"}, "validation.dataset"),
        ({"dataset": "the-tide-clock", "column": "body"}, "validation.column"),
    ):
        assert refusal(ask(client, validation=wrong))[2] == field
    assert ask(client, validation={"dataset": "the-tide-clock"}).json()["validation"] == "the-tide-clock"


def test_rows_with_too_little_text_are_refused(client):
    few = rows(client, {"text": "the tide"}, {"text": "the clock"})
    assert refusal(ask(client, dataset=few, validation=0)) == (422, "invalid_value", "dataset")
    enough = rows(client, *[{"text": "the tide " * 20}] * 20)
    assert ask(client, dataset=enough, validation=0).status_code == 202
    one_long = rows(client, {"text": "the tide " * 500}, {"text": "the tide"})
    assert refusal(ask(client, dataset=one_long, validation=0.5)) == (422, "invalid_value", "validation")


def test_rows_need_a_token_that_ends_a_text(client):
    client.post("/tokenizers", json={"name": "strict", "kind": "word", "version": 1, "dataset": "the-tide-clock"})
    enough = rows(client, *[{"text": "the tide " * 100}] * 20)
    assert refusal(ask(client, dataset=enough, tokenizer="strict")) == (422, "invalid_value", "tokenizer")
