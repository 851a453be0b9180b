"""`inkling eval`: the request that it sends, and what it shows of the answer."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import httpx
import pytest

from app.cli import evaluate
from tests.cli.conftest import Command

REPORT = {
    "object": "evaluation.report",
    "kind": "answers",
    "dataset": "small-tasks",
    "models": [
        {"model": name, "rows": 3, "failed": 0, "exact_match": 0.5, "token_f1": 0.75, "answer_tokens": None}
        for name in ("mine", "base")
    ],
}
ARGUMENTS = ("eval", "answers", "--model", "mine", "--against", "base", "--dataset", "small-tasks")


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    """What reaches the server, which does every job at once."""
    seen: list[tuple[str, dict[str, object]]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            seen.append((request.url.path, json.loads(request.content)))
        if request.url.path.endswith("/events"):
            return httpx.Response(200, json={"data": []})
        if request.url.path.endswith("/report"):
            return httpx.Response(200, json=REPORT)
        return httpx.Response(202, json={"id": "job_1", "status": "succeeded", "error": None, "total_steps": 6})

    def client(_url: str | None) -> httpx.Client:
        return httpx.Client(base_url="http://there", transport=httpx.MockTransport(answer))

    monkeypatch.setattr(evaluate, "_client", client)
    return seen


def test_it_asks_for_the_job_and_shows_the_models_side_by_side(
    inkling: Command, sent: list[tuple[str, dict[str, object]]]
) -> None:
    done = inkling(
        *ARGUMENTS, "--column", "output=answer", "--set", "max_new_tokens=8", "--max-rows", "3", "--seed", "5"
    )
    assert done.status == 0, done
    assert sent == [
        (
            "/jobs",
            {
                "recipe": "evaluate",
                "model": "mine",
                "dataset": "small-tasks",
                "columns": {"output": "answer"},
                "evaluate": {"kind": "answers", "max_new_tokens": 8, "max_rows": 3, "against": ["base"]},
                "seed": 5,
            },
        )
    ]
    lines = done.out.splitlines()
    assert lines[0].split() == ["model", "rows", "failed", "exact_match", "token_f1", "answer_tokens"]
    assert lines[1].split() == ["mine", "3", "0", "0.5000", "0.7500"]
    assert lines[2].split()[0] == "base"
    assert "GET /jobs/job_1/results" in lines[3]


def test_choices_are_shown_with_their_errors(
    inkling: Command, sent: list[tuple[str, dict[str, object]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"acc": 0.5, "acc_stderr": 0.2887, "acc_norm": 0.75, "acc_norm_stderr": None, "chance": 0.25}
    monkeypatch.setitem(REPORT, "kind", "choices")
    monkeypatch.setitem(REPORT, "models", [{"model": "mine", "rows": 4, "failed": 0, "cut": 1} | figures])
    done = inkling("eval", "choices", "--model", "mine", "--dataset", "ds_1", "--set", "num_fewshot=2")
    assert sent[0][1]["evaluate"] == {"kind": "choices", "num_fewshot": 2}
    head, line, _ = done.out.splitlines()
    assert head.split() == [
        "model",
        "rows",
        "failed",
        "cut",
        "acc",
        "acc_stderr",
        "acc_norm",
        "acc_norm_stderr",
        "chance",
    ]
    assert line.split() == ["mine", "4", "0", "1", "0.5000", "0.2887", "0.7500", "0.2500"]


def test_json_is_the_report(inkling: Command, sent: list[tuple[str, dict[str, object]]]) -> None:
    assert json.loads(inkling(*ARGUMENTS, "--json").out) == REPORT | {"job": "job_1"}


def test_print_curl_sends_nothing(inkling: Command, sent: list[tuple[str, dict[str, object]]]) -> None:
    command = shlex.split(inkling(*ARGUMENTS, "--print-curl").out)
    assert command[:4] == ["curl", "-X", "POST", "http://there/jobs"]
    assert json.loads(command[-1])["evaluate"] == {"kind": "answers", "against": ["base"]}
    assert sent == []


def test_a_judges_key_comes_from_a_file_and_is_never_printed(
    inkling: Command, sent: list[tuple[str, dict[str, object]]]
) -> None:
    Path("key").write_text("sk-secret\n")
    judge = ("--judge", "marker", "--judge-url", "https://judge.example/v1", "--judge-key-file", "key")
    assert "--print-curl would print the key" in inkling(*ARGUMENTS, *judge, "--print-curl").refusal
    assert inkling(*ARGUMENTS, *judge).status == 0
    assert sent[0][1]["evaluate"]["judge"] == {  # type: ignore[index]
        "model": "marker",
        "url": "https://judge.example/v1",
        "api_key": "sk-secret",
    }
    assert "go with --judge" in inkling(*ARGUMENTS, "--judge-url", "https://judge.example/v1").refusal
