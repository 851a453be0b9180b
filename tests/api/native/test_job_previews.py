"""Jobs that teach answers, over the wire: what is learnt is shown; bad rows are told by line, and no job is written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from app.services.dialogue_ids import DialogueEncoder
from tests.api.native.conftest import add_base, refusal

GOOD = {"instruction": "the tide", "input": "the clock", "output": "the sea"}
PAIR = {"prompt": "the tide", "chosen": "the sea", "rejected": "the clock"}
CONTEXT = 160


@pytest.fixture
def client(client: TestClient) -> TestClient:
    """With a small model to teach."""
    add_base(client, context_length=CONTEXT)
    return client


def upload(client: TestClient, *values: dict[str, Any]) -> str:
    content = "".join(json.dumps(one) + "\n" for one in values).encode()
    return client.post("/datasets", files={"file": ("a.jsonl", content)}).json()["id"]


def body(client: TestClient, recipe: str, *values: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"recipe": recipe, "dataset": upload(client, *values), "model": "base"} | fields


def test_the_job_shows_what_it_will_do(client):
    answer = client.post("/jobs", json=body(client, "instruct", *[GOOD] * 10, train={"batch_size": 2}))
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert (job["recipe"], job["train"]["template"], job["train"]["epochs"]) == ("instruct", "alpaca", None)
    assert (job["train"]["mask_prompt"], job["validation"], job["columns"]) == (True, 0.1, {})
    again = client.post(f"/jobs/{job['id']}/duplicate", json={"train": {"mask_prompt": False}})
    assert again.status_code == 202, again.text
    assert again.json()["train"] == job["train"] | {"mask_prompt": False}
    pairs = client.post("/jobs", json=body(client, "dpo", *[PAIR] * 10, train={"beta": 0.3}))
    assert pairs.status_code == 202, pairs.text
    assert pairs.json()["train"]["beta"] == 0.3


def test_the_books_setting(client):
    answer = client.post(
        "/jobs", json=body(client, "instruct", *[GOOD] * 10, train={"preset": "book-ch07", "max_tokens": 100})
    )
    train = answer.json()["train"]
    told = (train["epochs"], train["batch_size"], train["learning_rate"], train["mask_prompt"], train["max_tokens"])
    assert told == (2, 8, 5e-5, False, 100)


def test_the_preview_shows_which_tokens_are_learnt(client):
    answer = client.post("/jobs/preview?limit=2", json=body(client, "instruct", *[GOOD] * 3)).json()
    first = answer["examples"][0]
    assert (answer["template"], answer["has_more"], len(answer["examples"])) == ("alpaca", True, 2)
    assert (first["line"], first["answer"], first["total"]) == (1, None, len(first["tokens"]))
    learnt = [token["text"] for token in first["tokens"] if token["learnt"]]
    assert learnt == ["the", "sea", "<|endoftext|>"]
    assert first["learnt"] == 3
    whole = client.post(
        "/jobs/preview?after=1&tokens=5", json=body(client, "instruct", *[GOOD] * 2, train={"mask_prompt": False})
    ).json()
    (example,) = whole["examples"]
    assert (example["line"], len(example["tokens"]), example["learnt"]) == (2, 5, example["total"] - 1)


def test_of_a_pair_both_answers_are_shown(client):
    answer = client.post("/jobs/preview", json=body(client, "dpo", PAIR)).json()
    shown = {one["answer"]: [token["text"] for token in one["tokens"] if token["learnt"]] for one in answer["examples"]}
    assert shown == {"chosen": ["the", "sea", "<|endoftext|>"], "rejected": ["the", "clock", "<|endoftext|>"]}


def test_other_recipes_have_no_preview(client):
    asked = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides"}
    assert refusal(client.post("/jobs/preview", json=asked)) == (422, "invalid_value", "recipe")
    assert client.post("/jobs/preview?limit=0", json=body(client, "dpo", PAIR)).status_code == 422


CHAT = {"messages": [{"role": "user", "content": "the tide"}, {"role": "assistant", "content": "the sea"}]}
BAD: dict[str, tuple[str, dict[str, Any], str]] = {
    "an empty response": ("instruct", GOOD | {"output": " "}, "output: it is empty"),
    "a missing field": ("instruct", {"prompt": "the tide"}, "completion: it is missing"),
    "both alpaca and chat": ("instruct", GOOD | CHAT, "messages: it has instruction as well"),
    "roles out of order": ("instruct", {"messages": CHAT["messages"][::-1]}, "messages.0.role: roles are out of order"),
    "a prompt beyond the context": ("instruct", GOOD | {"input": "tide " * 200}, "no answer is left to learn"),
    "the same answers": ("dpo", PAIR | {"rejected": "the sea "}, "rejected: it is the same as chosen"),
    "no rejected": ("dpo", {"prompt": "the tide", "chosen": "the sea"}, "rejected: it is missing"),
    "the same once cut": (
        "dpo",
        PAIR | {"chosen": "tide " * 200 + "sea", "rejected": "tide " * 200 + "clock"},
        "both answers are the same in the 160 tokens that are read",
    ),
    "two forms": ("dpo", PAIR | {"preferred_output": "the sea"}, "prompt: it has preferred_output as well"),
    "a pair beyond the context": ("dpo", PAIR | {"prompt": "tide " * 200}, "no answer is left to learn"),
}


@pytest.mark.parametrize(("recipe", "bad", "told"), BAD.values(), ids=BAD)
def test_a_bad_row_is_told_by_its_line_and_no_job_is_written(client, recipe, bad, told):
    good = GOOD if recipe == "instruct" else PAIR
    asked = body(client, recipe, good, good, bad, good)
    for route in ("/jobs", "/jobs/estimate", "/jobs/preview"):
        answer = client.post(route, json=asked)
        assert refusal(answer) == (422, "invalid_value", "dataset")
        message = answer.json()["error"]["message"]
        assert "line 3: " in message
        assert told in message
    measured = client.post("/jobs", json=body(client, recipe, good, good, validation=upload(client, good, bad)))
    assert refusal(measured) == (422, "invalid_value", "validation")
    assert "line 2: " in measured.json()["error"]["message"]
    assert client.get("/jobs").json()["data"] == []


WRONG: dict[str, tuple[dict[str, Any], tuple[int, str, str]]] = {
    "no model": ({"model": {"preset": "gpt-tiny"}}, (422, "missing_field", "model")),
    "a text": ({"dataset": "the-tide-clock"}, (422, "invalid_value", "dataset")),
    "no template of its own": ({"train": {"template": "chat"}}, (422, "invalid_value", "train.template")),
    "more than the context": ({"train": {"max_tokens": CONTEXT + 1}}, (422, "invalid_value", "train.max_tokens")),
    "another recipe's setting": ({"train": {"beta": 0.1}}, (422, "unknown_field", "train.beta")),
    "a test part": ({"test": 0.1}, (422, "unknown_field", "test")),
    "two devices": ({"devices": 2}, (422, "invalid_value", "devices")),
    "an odd role": ({"columns": {"label": "output"}}, (422, "unknown_field", "columns.label")),
    "no such column": ({"columns": {"output": "none"}}, (422, "invalid_value", "columns.output")),
}


@pytest.mark.parametrize(("fields", "expected"), WRONG.values(), ids=WRONG)
def test_a_job_that_cannot_be_done_is_refused(client, fields, expected):
    assert refusal(client.post("/jobs", json=body(client, "instruct", GOOD, GOOD) | fields)) == expected


def test_columns_are_named(client):
    rows = [{"question": "the tide", "reply": "the sea", "messages": "x"}] * 2
    named = {"prompt": "question", "completion": "reply"}
    answer = client.post("/jobs", json=body(client, "instruct", *rows, columns=named))
    assert answer.status_code == 202, answer.text
    assert answer.json()["columns"] == named
    assert refusal(client.post("/jobs", json=body(client, "instruct", *rows)))[2] == "dataset"


@pytest.mark.parametrize("recipe", ["instruct", "dpo"])
def test_rows_of_very_many_turns_are_not_all_rendered_while_somebody_waits(client, monkeypatch, recipe):
    """Rows were counted by their characters, and such have few: a small file held the request for minutes."""
    asked, made = DialogueEncoder.ids, []
    monkeypatch.setattr(DialogueEncoder, "ids", lambda encoder, talk: made.append(talk.line) or asked(encoder, talk))
    turns = [{"role": role, "content": "the tide"} for role in ("user", "assistant") * 250]
    row = {"messages": turns} if recipe == "instruct" else {"prompt": turns[:-1], "chosen": "the", "rejected": "tide"}
    if recipe == "dpo":
        monkeypatch.setattr("app.services.answer_rows.tokens_read", lambda *_: 10**6)
    answer = client.post("/jobs", json=body(client, recipe, *[row] * 20, train={"batch_size": 1}))
    assert answer.status_code == 202, answer.text
    assert len(set(made)) == (3 if recipe == "instruct" else 2)
    turns.append(turns[0])
    told = client.post("/jobs", json=body(client, "instruct", {"messages": [*turns, turns[1]]})).json()["error"]
    assert "line 1: messages: 502 messages are more than 500" in told["message"]
