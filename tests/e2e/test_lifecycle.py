"""The whole line on both sets of parts: a text, a job that a worker in another process runs, its model, and the end.

Then once more on what was left: nothing is lost, and nothing that was started lives on.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables import job
from tests.e2e.conftest import Service, start_service
from tests.process_tree import command, is_alive, started_by

pytestmark = pytest.mark.e2e

PROMPT = "I HAD always thought"


@pytest.fixture(params=["embedded", pytest.param("stack", marks=pytest.mark.services)])
def parts(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of the embedded default, and of PostgreSQL with Redis."""
    if request.param == "embedded":
        return {}
    return {
        "database_url": request.getfixturevalue("postgres_url"),
        "broker_url": request.getfixturevalue("redis_url"),
    }


@pytest.fixture
def start(parts: dict[str, str], tmp_path: Path, assets: Path) -> Iterator[Callable[[], Service]]:
    """Starts `inkling up` on the same data and parts; what a failed test left running is ended."""
    started: list[Service] = []

    def start_one() -> Service:
        started.append(start_service(tmp_path, **parts))
        return started[-1]

    yield start_one
    for service in started:
        service.stop()


def test_a_text_becomes_a_model_and_an_end_loses_nothing(
    start: Callable[[], Service], parts: dict[str, str], tmp_path: Path, verdict: str
) -> None:
    service = start()
    dataset = call(service, "POST", "/datasets", files={"file": ("the-verdict.txt", verdict.encode(), "text/plain")})
    assert dataset["characters"] == 20_479

    done = queue(service, dataset["id"], "verdict", max_steps=40, checkpoint_every=20)
    what_it_tells(followed(service, done))
    checkpoints = [row["id"] for row in call(service, "GET", f"/jobs/{done}/checkpoints")["data"]]
    assert checkpoints == [f"{done}@40", f"{done}@20"]
    assert call(service, "GET", f"/jobs/{done}")["result"] == {"model": "verdict", "checkpoint": checkpoints[0]}
    assert "verdict" in models(service)
    written = {name: generated(service, name) for name in ("verdict", *checkpoints)}
    assert written["verdict"] == written[checkpoints[0]] != written[checkpoints[1]]
    a_checkpoint_is_told_and_taken_as_a_model(service, checkpoints)

    unfinished = queue(service, dataset["id"], "unfinished", max_steps=100_000, checkpoint_every=1000)
    until_it_passes(service, unfinished, step=2)
    gone_after(service, signal.SIGINT)
    state, step = left_as(parts, tmp_path, unfinished)
    assert (state, step >= 3) == ("queued", True)

    service = start()
    assert "verdict" in models(service)
    assert {name: generated(service, name) for name in written} == written
    until_it_passes(service, unfinished, step)
    gone_after(service, signal.SIGTERM)
    state, further = left_as(parts, tmp_path, unfinished)
    assert (state, further > step) == ("queued", True)


def a_checkpoint_is_told_and_taken_as_a_model(service: Service, checkpoints: list[str]) -> None:
    """The last checkpoint is the model that the job made; the one before is another."""
    last, before = (call(service, "POST", f"/models/{name}/load") for name in checkpoints)
    made = call(service, "GET", "/models/verdict")
    assert (last["state"], last["source"], made["source"]) == ("loaded", "checkpoint", "job")
    assert [last[key] for key in ("config", "parameters", "datasets")] == [
        made[key] for key in ("config", "parameters", "datasets")
    ]
    assert before["sha256"] != last["sha256"] == made["sha256"]
    for path in ("download", "export?format=gguf", "export"):
        bodies = [
            httpx.get(f"{service.url}/models/{name}/{path}", timeout=60).raise_for_status().content
            for name in ("verdict", *checkpoints)
        ]
        assert min(map(len, bodies)) > 10_000
        assert bodies[2] != bodies[1]
        assert path != "download" or bodies[0] == bodies[1]


def what_it_tells(events: list[dict[str, Any]]) -> None:
    """Loss and validation loss that fall, a sample, checkpoints, an end that is good."""
    assert events[-1]["data"].get("status") == "succeeded", events[-1]
    assert [event["id"] for event in events] == sorted(event["id"] for event in events)
    measured = [event["data"] for event in events if event["type"] == "metrics"]
    losses = [one["loss"] for one in measured if one["loss"] is not None]
    assert sum(losses[-5:]) / 5 < losses[0] - 2
    validations = [one["val_loss"] for one in measured if one["val_loss"] is not None]
    assert len(validations) >= 2
    assert validations[-1] < validations[0] - 1
    assert {event["type"] for event in events} >= {"metrics", "sample", "checkpoint", "status"}


def call(service: Service, method: str, path: str, **request: Any) -> Any:
    answer = httpx.request(method, service.url + path, timeout=60, **request)
    assert answer.is_success, answer.text
    return answer.json()


def models(service: Service) -> list[str]:
    return [model["name"] for model in call(service, "GET", "/models")["data"]]


def queue(service: Service, dataset: str, name: str, **train: int) -> str:
    """The id of a new job of small windows."""
    settings = {"batch_size": 4, "context_length": 32, "learning_rate": 0.003, "sample_every": 20, "sample_tokens": 8}
    body = {"recipe": "pretrain", "dataset": dataset, "name": name, "model": {"preset": "gpt-tiny"}, "seed": 7}
    return str(call(service, "POST", "/jobs", json=body | {"train": settings | train})["id"])


def stream(service: Service, job_id: str) -> Iterator[dict[str, Any]]:
    """The job's events as they are sent, to the end of the stream."""
    headers = {"accept": "text/event-stream"}
    with httpx.stream("GET", f"{service.url}/jobs/{job_id}/events", headers=headers, timeout=120) as answer:
        for line in answer.iter_lines():
            if line.startswith("data:"):
                yield json.loads(line.removeprefix("data:"))


def followed(service: Service, job_id: str) -> list[dict[str, Any]]:
    return list(stream(service, job_id))


def until_it_passes(service: Service, job_id: str, step: int) -> None:
    """Wait until the job is beyond a step; none is done twice, whatever came between.

    An attempt begins by telling once more what was due at its checkpoint: it cannot know that all of it was told.
    """
    last, has_begun = -1, True  # the network as it was made is measured, too: step 0
    for event in stream(service, job_id):
        if event["type"] == "status":
            has_begun = True
        if event["type"] == "metrics":
            assert event["data"]["step"] > last or (has_begun and event["data"]["step"] == last)
            last, has_begun = event["data"]["step"], False
            if last > step:
                return
    pytest.fail("the job ended")


def generated(service: Service, model: str) -> str:
    body = {"model": model, "prompt": PROMPT, "max_new_tokens": 12, "seed": 1}
    text = call(service, "POST", "/generate", json=body)["choices"][0]["text"]
    assert text
    return str(text)


def gone_after(service: Service, number: signal.Signals) -> None:
    """Send a signal to the service while a job runs; afterwards none of its processes is left."""
    family = started_by(service.process.pid)
    told = " | ".join(command(pid) for pid in family)
    assert "workers.main" in told, told
    assert "workers.trainer" in told, told
    service.process.send_signal(number)
    assert service.process.wait(90) == 0, service.log.read_text()
    assert [pid for pid in family if is_alive(pid)] == []


def left_as(parts: dict[str, str], folder: Path, job_id: str) -> tuple[str, int]:
    """Status and step of a job in the database, where no service runs."""
    settings = Settings(_env_file=None, data_dir=folder / "data", **({"database_url": "", "broker_url": ""} | parts))
    database = Database(settings.effective_database_url)
    try:
        with database.read() as session:
            row = job.get(session, job_id)
            assert row is not None
            return row.status, row.step
    finally:
        database.dispose()
