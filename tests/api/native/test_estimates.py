"""POST /jobs/estimate over the wire, and what POST /jobs refuses of what cannot fit."""

from __future__ import annotations

import json
import shutil
from collections import namedtuple

import pytest
from fastapi.testclient import TestClient

from app.llm.config import ModelConfig
from app.llm.train.config import TrainConfig
from app.llm.train.footprint import footprint
from app.services import job_size, machine, trial_process
from app.services.trial_process import Step, Trial
from tests.api.native.conftest import TIDE, ask, refusal

Usage = namedtuple("Usage", "total used free")
QUICK = Trial((Step(8, 512, 0.5, 400_000_000), Step(8, 512, 0.25, 410_000_000)), "cpu", None)


@pytest.fixture
def tried(monkeypatch) -> list[trial_process.Asked]:
    """What is tried, in place of trying it."""
    seen: list[trial_process.Asked] = []

    def measure(asked: trial_process.Asked) -> Trial:
        seen.append(asked)
        return QUICK

    monkeypatch.setattr(trial_process, "measure", measure)
    return seen


def estimate(client: TestClient, **fields: object):
    return client.post("/jobs/estimate", json=TIDE | fields)


def rows(client: TestClient) -> int:
    return len(client.get("/jobs").json()["data"])


def test_an_estimate_with_steps_that_were_really_tried(client):
    response = estimate(client, train={"max_steps": 40, "batch_size": 4}, name="tide")
    assert response.status_code == 200
    told = response.json()
    assert told["fits"]
    assert told["problems"] == []
    assert told["parameters"]["all"] == told["parameters"]["learning"] > 100_000
    assert told["memory"]["total"] == sum(
        told["memory"][name] for name in ("weights", "gradients", "optimizer", "activations", "process")
    )
    assert told["memory"]["fits"]
    assert told["memory"]["measured_peak"] > told["memory"]["weights"]
    assert told["disk"]["copies"] == 1
    assert told["disk"]["checkpoint"] == 3 * told["memory"]["weights"]
    assert told["size"]["exact"]
    assert (told["size"]["steps"], told["size"]["tokens_a_step"]) == (40, 4 * 64)
    assert told["size"]["epochs"] == pytest.approx(40 / told["size"]["steps_an_epoch"])
    assert told["speed"]["batch_size"] == 4
    assert told["speed"]["lowest"] <= told["speed"]["tokens_per_s"] <= told["speed"]["highest"]
    assert 0 < told["seconds"]["low"] <= told["seconds"]["expected"] <= told["seconds"]["high"]
    assert rows(client) == 0


def test_the_size_is_that_of_the_job(client, tried):
    """As the job's own data has it: windows of the part that is learnt from, once an epoch."""
    told = estimate(client, train={"epochs": 3, "batch_size": 5, "stride": 10, "context_length": 20}).json()
    batches = client.get(
        "/datasets/the-tide-clock/batches",
        params={"tokenizer": "tides", "context_length": 20, "stride": 10, "batch_size": 5},
    ).json()
    assert told["size"]["steps_an_epoch"] == batches["batches"]
    assert told["size"]["steps"] == 3 * batches["batches"]
    assert told["size"]["dataset_tokens"] == batches["tokens"]
    assert told["speed"]["tokens_per_s"] == 1536
    assert told["seconds"]["low"] == pytest.approx(told["size"]["tokens"] / 2048)
    assert tried[0].train["stride"] == 10


def test_word_vectors_are_estimated(client, tried):
    body = {"recipe": "word2vec", "dataset": "the-tide-clock", "model": {"emb_dim": 10}}
    told = client.post("/jobs/estimate", json=body).json()
    vocabulary = next(one for one in client.get("/tokenizers").json()["data"] if one["name"] == "tides")["vocab_size"]
    assert told["parameters"] == {"all": 20 * vocabulary, "learning": 20 * vocabulary}
    assert tried[0].family == "word2vec"
    assert "the-tide-clock-words" not in {one["name"] for one in client.get("/tokenizers").json()["data"]}


def test_what_a_job_refuses_an_estimate_refuses(client, tried):
    assert refusal(estimate(client, dataset="ds_none")) == (404, "dataset_not_found", "dataset")
    assert refusal(estimate(client, train={"batch_size": 0})) == (422, "invalid_value", "train.batch_size")
    assert refusal(estimate(client, devices=3)) == (422, "invalid_value", "train.batch_size")
    assert refusal(estimate(client, train={"shard": "always"})) == (422, "invalid_value", "train.shard")
    assert ask(client, name="mine").status_code == 202
    assert refusal(estimate(client, name="mine")) == (409, "name_taken", "name")
    assert tried == []


LARGE = {"context_length": 64, "emb_dim": 512, "n_heads": 8, "n_layers": 8}


def total(client: TestClient, train: TrainConfig) -> int:
    size = next(one for one in client.get("/tokenizers").json()["data"] if one["name"] == "tides")["vocab_size"]
    return footprint(ModelConfig(**LARGE, vocab_size=size), train, train.context_length or 64).total


def test_too_large_a_batch_is_refused_with_one_that_fits(client, tried, monkeypatch):
    there = total(client, TrainConfig(batch_size=12))
    monkeypatch.setattr(machine, "memory_bytes", lambda: there)
    response = ask(client, model=LARGE, train={"batch_size": 64})
    assert refusal(response) == (422, "does_not_fit", "train.batch_size")
    assert "12 would fit" in response.json()["error"]["message"]
    assert rows(client) == 0
    told = estimate(client, model=LARGE, train={"batch_size": 64}).json()
    assert not told["fits"]
    assert not told["memory"]["fits"]
    assert told["problems"] == [{name: response.json()["error"][name] for name in ("code", "message", "param")}]
    assert (told["speed"], told["why_no_speed"]) == (None, "it does not fit into memory")
    assert tried == []
    assert ask(client, model=LARGE, train={"batch_size": 12}).status_code == 202


def test_of_several_devices_the_memory_of_each_is_told(client, tried):
    alone, two = estimate(client, model=LARGE).json()["memory"], estimate(client, model=LARGE, devices=2).json()
    whole, sharded = two["memory"], estimate(client, model=LARGE, devices=2, train={"shard": "always"}).json()["memory"]
    assert (alone["sharded"], alone["other_devices"]) == (False, None)
    assert (whole["sharded"], whole["other_devices"], whole["weights"]) == (False, whole["total"], alone["weights"])
    assert whole["activations"] < alone["activations"]
    assert sharded["sharded"]
    assert sharded["other_devices"] < whole["other_devices"]
    assert sharded["total"] > sharded["other_devices"], "the first one has all weights while it saves"
    assert (two["speed"], two["seconds"]) == (None, None)
    assert "several" in two["why_no_speed"]
    assert len(tried) == 1


def test_a_network_that_does_not_fit_each_device_is_divided_unless_that_is_forbidden(client, monkeypatch):
    asked = {"model": LARGE, "devices": 4, "train": {"batch_size": 4}}
    told = estimate(client, **asked).json()["memory"]
    together = 4 * told["total"]
    monkeypatch.setattr(machine, "memory_bytes", lambda: together)
    assert not estimate(client, **asked).json()["memory"]["sharded"]
    monkeypatch.setattr(machine, "memory_bytes", lambda: together - 1)
    told = estimate(client, **asked).json()
    assert (told["memory"]["sharded"], told["memory"]["fits"], told["fits"]) == (True, True, True)
    assert ask(client, **asked).status_code == 202
    asked["train"] = {"batch_size": 4, "shard": "never"}
    assert not estimate(client, **asked).json()["fits"]
    assert refusal(ask(client, **asked)) == (422, "does_not_fit", "train.context_length")


def test_too_long_windows_and_too_large_a_network_are_refused(client, monkeypatch):
    there = total(client, TrainConfig(batch_size=1, context_length=32))
    monkeypatch.setattr(machine, "memory_bytes", lambda: there)
    assert refusal(ask(client, model=LARGE)) == (422, "does_not_fit", "train.context_length")
    assert ask(client, model=LARGE, train={"batch_size": 1, "context_length": 32}).status_code == 202
    monkeypatch.setattr(machine, "memory_bytes", lambda: 400_000_000)
    assert refusal(ask(client, model=LARGE)) == (422, "does_not_fit", "model")


def test_a_full_disk_is_told_before_the_job(client, tried, monkeypatch):
    one = estimate(client, model=LARGE).json()["disk"]["checkpoint"]
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 0, 4 * one))
    assert refusal(ask(client, model=LARGE, train={"keep_checkpoints": 9})) == (
        507, "no_disk_space", "train.keep_checkpoints",
    )  # fmt: skip
    assert ask(client, model=LARGE, train={"keep_checkpoints": 9, "max_steps": 300}).status_code == 202
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**12, 0, one // 2))
    assert refusal(ask(client, model=LARGE, train={"max_steps": 5})) == (507, "no_disk_space", "model")
    told = estimate(client, model=LARGE, train={"max_steps": 5}).json()
    assert (told["disk"]["fits"], told["fits"], told["disk"]["free"]) == (False, False, one // 2)


def size(client: TestClient, dataset: str) -> dict[str, object]:
    return estimate(client, dataset=dataset, train={"context_length": 8}, validation=0).json()["size"]


def test_a_long_text_is_judged_by_its_beginning(client, tried, monkeypatch):
    text = "the tide and the clock " * 4000
    dataset = client.post("/datasets", files={"file": ("a.txt", text.encode())}).json()["id"]
    exact = size(client, dataset)
    monkeypatch.setattr(job_size, "LOOKED_AT_CHARACTERS", 5000)
    judged = size(client, dataset)
    assert (exact["exact"], judged["exact"]) == (True, False)
    assert exact["dataset_tokens"] == 5 * 4000
    assert judged["dataset_tokens"] == pytest.approx(20_000, rel=0.01)
    batches = {"tokenizer": "tides", "context_length": 8, "validation": 0}
    assert client.get(f"/datasets/{dataset}/batches", params=batches).status_code == 200
    assert size(client, dataset) == exact  # it is encoded by now


def test_rows_count_with_the_token_behind_each(client, tried, monkeypatch):
    lines = "\n".join(json.dumps({"text": "the tide and"}) for _ in range(500))
    dataset = client.post("/datasets", files={"file": ("a.jsonl", lines.encode())}).json()["id"]
    assert size(client, dataset)["dataset_tokens"] == 4 * 500
    monkeypatch.setattr(job_size, "LOOKED_AT_CHARACTERS", 600)
    judged = size(client, dataset)
    assert (judged["dataset_tokens"], judged["exact"]) == (2000, False)
