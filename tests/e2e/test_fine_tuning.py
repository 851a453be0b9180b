"""The public `openai` client does the whole line: a file, a job, its events and checkpoints, and the model answers."""

from __future__ import annotations

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
    settings = {"hyperparameters": {"n_epochs": 8, "batch_size": 4, "learning_rate_multiplier": 4}}
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
    assert done.trained_tokens == native["total_steps"] * 4 * 256

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
