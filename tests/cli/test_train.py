"""`inkling train`: what each recipe asks for, and that without a recipe's name `pretrain` is meant."""

from __future__ import annotations

import json
import shlex

import httpx
import pytest

from app.cli import train
from tests.cli.conftest import Command

HERE = ("--url", "http://here")


def body_of(out: str) -> dict[str, object]:
    """The JSON of the last curl command that was printed."""
    words = shlex.split(out.strip().splitlines()[-1])
    assert words[:4] == ["curl", "-X", "POST", "http://here/jobs"]
    return json.loads(words[words.index("-d") + 1])


@pytest.mark.parametrize("recipe", [(), ("pretrain",)], ids=["no name", "pretrain"])
def test_pretraining_is_meant_where_no_recipe_is_named(inkling: Command, recipe: tuple[str, ...]) -> None:
    done = inkling("train", *recipe, "--steps", "3", "--column", "said", "ds_1", "--print-curl", "--key", "k 1", *HERE)
    assert done.status == 0, done.err
    assert "'idempotency-key: k 1'" in done.out
    assert body_of(done.out) == {
        "recipe": "pretrain",
        "dataset": [{"dataset": "ds_1", "column": "said"}],
        "train": {"max_steps": 3},
    }


def test_a_network_can_be_divided_among_devices(inkling: Command) -> None:
    done = inkling("train", "ds_1", "--devices", "2", "--shard", "always", "--print-curl", *HERE)
    assert done.status == 0, done.err
    body = body_of(done.out)
    assert (body["devices"], body["train"]) == (2, {"shard": "always"})


def test_a_classifier_is_asked_for_with_its_columns_and_choices(inkling: Command) -> None:
    done = inkling(
        "train", "classify", "--dataset", "ds_1", "--text-column", "said", "--label-column", "kind", "--base", "gpt",
        "--trainable", "head", "--reads", "last_place", "--max-tokens", "9", "--balanced", "--test", "0.3",
        "--validation", "0", "--epochs", "2", "--seed", "7", "--set", "learning_rate=0.001", "--print-curl", *HERE,
    )  # fmt: skip
    assert done.status == 0, done.err
    assert body_of(done.out) == {
        "recipe": "classify",
        "dataset": "ds_1",
        "columns": {"text": "said", "label": "kind"},
        "model": "gpt",
        "validation": 0.0,
        "test": 0.3,
        "seed": 7,
        "train": {
            "learning_rate": 0.001,
            "trainable": "head",
            "reads": "last_place",
            "max_tokens": 9,
            "balanced": True,
            "epochs": 2,
        },
    }


def test_what_is_not_said_is_left_to_the_server(inkling: Command) -> None:
    done = inkling("train", "classify", "--dataset", "ds_1", "--print-curl", *HERE)
    assert body_of(done.out) == {"recipe": "classify", "dataset": "ds_1", "train": {}}


def test_a_file_is_uploaded_first(inkling: Command, tmp_path) -> None:
    (tmp_path / "my rows.csv").write_text("label,text\na,b\n")
    done = inkling("train", "classify", "--dataset", "my rows.csv", "--print-curl", *HERE)
    assert done.out.splitlines()[0] == "curl -F 'file=@my rows.csv' http://here/datasets"
    assert body_of(done.out)["dataset"] == "DATASET_ID"


def test_a_base_and_a_preset_are_two_things(inkling: Command) -> None:
    refusal = inkling("train", "classify", "--dataset", "x", "--base", "a", "--preset", "b").refusal
    assert "--preset" in refusal


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "paused"])
@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["lines", "json"])
def test_a_job_that_did_not_succeed_ends_the_command_so(
    inkling: Command, monkeypatch: pytest.MonkeyPatch, status: str, flags: tuple[str, ...]
) -> None:
    """With --json a script took a failed job for a model."""
    is_good = status == "succeeded"
    error = {"code": "out_of_memory", "message": "too much", "param": None} if status == "failed" else None
    job = {"id": "job_1", "status": status, "error": error, "total_steps": 1}
    job |= {"result": {"model": "made"} if is_good else None}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": []} if request.url.path.endswith("/events") else job)

    made = httpx.MockTransport(answer)
    monkeypatch.setattr(train, "_client", lambda _url: httpx.Client(base_url="http://there", transport=made))
    done = inkling("train", "ds_1", *flags)
    assert done.status == (0 if is_good else 1)
    if flags:
        assert json.loads(done.out) == job
    if not is_good:
        assert f"job_1 {status}: {'too much' if error else 'no model was made'}" in done.err
    assert inkling("train", "ds_1", "--no-follow", *flags).status == 0
