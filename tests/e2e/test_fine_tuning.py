"""The public `openai` client does the whole line: a file, a job, its events and checkpoints, and the model answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from app.services.datasets import SAMPLES
from tests.e2e.conftest import Service, start_service

pytestmark = pytest.mark.e2e

PATIENCE_S = 300


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("fine-tuning"))
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def client(started: Service) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key="none", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def base(started: Service) -> str:
    """A small network after two steps."""
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": {"preset": "gpt-tiny"}, "name": "small"}
    body |= {"train": {"max_steps": 2, "batch_size": 2}, "validation": 0.0, "seed": 3}
    job = httpx.post(f"{started.url}/jobs", json=body).json()
    deadline = time.monotonic() + PATIENCE_S
    while (row := httpx.get(f"{started.url}/jobs/{job['id']}").json())["status"] != "succeeded":
        assert row["status"] in ("queued", "running"), row
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return "small"


def events_until(client: openai.OpenAI, job_id: str, *statuses: str) -> list[Any]:
    """Poll as OpenAI's guides do: newest first, until the job is in one of these states; all events, oldest first."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        job = client.fine_tuning.jobs.retrieve(job_id)
        if job.status in statuses:
            return list(client.fine_tuning.jobs.list_events(job_id, limit=50))[::-1]
        assert job.status in ("validating_files", "queued", "running"), job.error
        time.sleep(0.2)
    raise AssertionError(f"{job_id} did not come to {statuses}")


def test_a_text_becomes_a_model(client: openai.OpenAI, started: Service) -> None:
    story = (SAMPLES / "the-tide-clock.txt").read_bytes()
    sent = client.files.create(file=("story.txt", story), purpose="fine-tune")
    assert client.files.content(sent.id).content == story
    jobs = client.fine_tuning.jobs
    settings = {"hyperparameters": {"n_epochs": 4, "batch_size": 4, "learning_rate_multiplier": 4}}
    asked: Any = {"type": "pretrain", "pretrain": settings}
    job = jobs.create(model="gpt-tiny", training_file=sent.id, method=asked, suffix="story", seed=7)

    with pytest.raises(openai.ConflictError):
        client.files.delete(sent.id)
    while not any(event.type == "metrics" for event in jobs.list_events(job.id)):
        time.sleep(0.1)
    jobs.pause(job.id)
    events_until(client, job.id, "paused")
    [first] = jobs.checkpoints.list(job.id).data
    assert jobs.resume(job.id).status == "queued"

    events = events_until(client, job.id, "succeeded")
    losses = [event.data["train_loss"] for event in events if event.type == "metrics" and event.data["train_loss"]]
    assert losses[-1] < losses[0] - 1
    done = jobs.retrieve(job.id)
    assert done.fine_tuned_model == f"gpt-tiny-story-{job.id[-6:]}"
    assert done.fine_tuned_model in [card.id for card in client.models.list()]
    native = httpx.get(f"{started.url}/jobs/{job.id}").json()
    assert (native["status"], native["result"]["model"]) == ("succeeded", done.fine_tuned_model)
    assert done.trained_tokens == native["total_steps"] * 4 * 64

    last, *_, before = list(jobs.checkpoints.list(job.id))
    assert before.id == first.id
    assert last.metrics.train_loss == losses[-1]
    names = [done.fine_tuned_model, last.fine_tuned_model_checkpoint, before.fine_tuned_model_checkpoint]
    written = [
        client.completions.create(model=name, prompt="The tide", max_tokens=12, seed=1).choices[0].text
        for name in names
    ]
    assert written[0] == written[1] != written[2]
    client.files.delete(sent.id)


def rows_sent(client: openai.OpenAI, rows: list[dict[str, Any]]) -> str:
    lines = "\n".join(json.dumps(row) for row in rows)
    return client.files.create(file=("rows.jsonl", lines.encode()), purpose="fine-tune").id


def say(role: str, content: str) -> Any:
    return {"role": role, "content": content}


QUESTION = say("user", "Which sea?")


def test_dialogues_become_a_model_that_answers_by_them(client: openai.OpenAI, base: str) -> None:
    sent = rows_sent(client, [{"messages": [QUESTION, say("assistant", "The north sea.")]}] * 12)
    jobs = client.fine_tuning.jobs
    settings: Any = {"n_epochs": 20, "batch_size": 4, "learning_rate_multiplier": 200}
    asked: Any = {"type": "supervised", "supervised": {"hyperparameters": settings}}
    job = jobs.create(model=base, training_file=sent, method=asked, suffix="sea", seed=1)
    events = events_until(client, job.id, "succeeded")
    losses = [event.data["train_loss"] for event in events if event.type == "metrics" and event.data["train_loss"]]
    assert losses[-1] < 0.1 * losses[0]
    done = jobs.retrieve(job.id)
    assert done.fine_tuned_model == f"small-sea-{job.id[-6:]}"
    checkpoints = list(jobs.checkpoints.list(job.id))
    assert checkpoints[0].metrics.full_valid_loss is None
    for name in (done.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint):
        answer = client.chat.completions.create(model=name, messages=[QUESTION], temperature=0, max_tokens=10)
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("The north sea.", "stop")


def test_an_adapter_is_learnt_and_chatted_with(client: openai.OpenAI, base: str) -> None:
    sent = rows_sent(client, [{"messages": [QUESTION, say("assistant", "The north sea.")]}] * 12)
    settings: Any = {"n_epochs": 4, "batch_size": 4, "lora": {"rank": 4, "alpha": 8}}
    asked: Any = {"type": "supervised", "supervised": {"hyperparameters": settings}}
    job = client.fine_tuning.jobs.create(model=base, training_file=sent, method=asked, suffix="sea", seed=1)
    events_until(client, job.id, "succeeded")
    name = client.fine_tuning.jobs.retrieve(job.id).fine_tuned_model
    assert name == f"small:sea-{job.id[-6:]}"
    answer = client.chat.completions.create(model=name, messages=[QUESTION], temperature=0, max_tokens=3)
    assert answer.model == name
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_pairs_and_labels_become_models(client: openai.OpenAI, base: str, started: Service) -> None:
    pairs = [
        {
            "input": {"messages": [QUESTION]},
            "preferred_output": [say("assistant", "North.")],
            "non_preferred_output": [say("assistant", "No.")],
        }
    ]
    labels = [{"text": "The tide comes.", "label": "tide"}, {"text": "The clock stops.", "label": "clock"}]
    made = {}
    for name, rows in (("dpo", pairs * 8), ("classification", labels * 8)):
        asked: Any = {"type": name, name: {"hyperparameters": {"n_epochs": 4, "batch_size": 4}}}
        made[name] = client.fine_tuning.jobs.create(
            model=base, training_file=rows_sent(client, rows), method=asked, seed=1
        ).id
    for job_id in made.values():
        events_until(client, job_id, "succeeded")
    ends = {name: client.fine_tuning.jobs.retrieve(job_id) for name, job_id in made.items()}
    answer = client.chat.completions.create(model=ends["dpo"].fine_tuned_model or "", messages=[QUESTION], max_tokens=3)
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0
    body = {"model": ends["classification"].fine_tuned_model, "input": "The tide comes."}
    told = httpx.post(f"{started.url}/classify", json=body)
    assert told.status_code == 200, told.text
