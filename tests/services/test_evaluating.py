"""An evaluation's life: it succeeds without a model, goes on where it was, and leaves nothing when it is deleted."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import func, select

from app.config import Settings
from app.db.tables.result import ResultRow
from app.llm.model.classifier import Classifier
from app.services import classifiers, model_files
from tests.evaluated import TASKS, House, house_on

ANSWERS = {"kind": "answers", "max_new_tokens": 5}
EACH_BY_ITSELF: list[dict[str, Any]] = [
    {"kind": "perplexity", "against": ["two"]},
    ANSWERS | {"against": ["two"]},
    {"kind": "judge", "against": ["two"], "max_new_tokens": 2, "judge": {"model": "two", "max_new_tokens": 2}},
]


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    with house_on(settings) as made:
        yield made


def after(asked: int, reason: str) -> Callable[[], str | None]:
    """A reason to stop, from the time on that it was asked for so often."""
    count = {"asked": 0}

    def should_stop() -> str | None:
        count["asked"] += 1
        return reason if count["asked"] > asked else None

    return should_stop


def test_it_succeeds_with_a_report_and_no_model(house: House) -> None:
    job_id = house.done(ANSWERS, dataset=house.add_rows(TASKS))
    job = house.client.get(f"/jobs/{job_id}").json()
    assert job["result"] == {"model": None, "checkpoint": None}
    assert (job["step"], job["total_steps"], job["progress"]) == (3, 3, 1.0)
    assert job["evaluate"] == {
        "kind": "answers", "against": [], "max_rows": None, "prompt_style": "auto", "max_new_tokens": 5
    }  # fmt: skip
    told = [each["message"] for each in house.client.get(f"/jobs/{job_id}/events").json()["data"]]
    assert told[-1] == "succeeded"
    assert "one answers: 0 of 3 done" in told
    assert [model["name"] for model in house.client.get("/models").json()["data"]].count(job["name"]) == 0


@pytest.mark.parametrize("reason", ["shutdown", "paused"])
def test_one_that_was_stopped_goes_on_behind_what_it_found(house: House, reason: str) -> None:
    dataset = house.add_rows([TASKS[n % 3] | {"input": f"the {n}"} for n in range(20)])
    whole = house.done(ANSWERS, dataset=dataset)
    job_id = house.queued(ANSWERS | {"against": ["two"]}, dataset=dataset)
    stopped = house.run(after(60, reason))
    assert stopped.status == "queued"
    found = house.results(job_id)
    assert 0 < sum(len(row["models"]) for row in found) < 40
    assert stopped.step == sum(len(row["models"]) for row in found)
    kept = dict(ids(house, job_id))
    assert house.run().status == "succeeded"
    assert kept.items() <= dict(ids(house, job_id)).items()  # nothing was answered twice
    both = house.results(job_id)
    assert [row["models"][0]["answer"] for row in both] == [row["models"][0]["answer"] for row in house.results(whole)]
    assert all([model["model"] for model in row["models"]] == ["one", "two"] for row in both)


def ids(house: House, job_id: str) -> list[tuple[tuple[int, int], int]]:
    with house.runtime.database.read() as session:
        rows = session.scalars(select(ResultRow).where(ResultRow.job_id == job_id))
        return [((row.row, row.place), row.id) for row in rows]


def test_one_that_is_cancelled_keeps_what_it_found(house: House) -> None:
    job_id = house.queued(ANSWERS, dataset=house.add_rows([TASKS[n % 3] for n in range(20)]))
    assert house.run(after(40, "cancelled")).status == "cancelled"
    assert house.results(job_id)
    assert house.client.get(f"/jobs/{job_id}/report").json()["error"]["code"] == "report_not_found"


def test_a_job_that_is_lost_writes_nothing_more(house: House) -> None:
    job_id = house.queued(ANSWERS, dataset=house.add_rows(TASKS))
    row = house.run(lambda: "lost")
    assert row.status == "running"
    assert house.results(job_id) == []


def test_results_go_with_their_job(house: House) -> None:
    job_id = house.done(ANSWERS, dataset=house.add_rows(TASKS))
    assert house.client.delete(f"/jobs/{job_id}").status_code == 200
    with house.runtime.database.read() as session:
        assert session.scalar(select(func.count()).select_from(ResultRow)) == 0


def test_rows_are_drawn_by_the_seed(house: House) -> None:
    dataset = house.add_rows([TASKS[n % 3] for n in range(30)])
    drawn = [
        [row["row"] for row in house.results(house.done(ANSWERS | {"max_rows": 5}, dataset=dataset, seed=seed))]
        for seed in (1, 1, 2)
    ]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert drawn[0] != drawn[2]


def test_a_model_that_went_away_fails_it_with_words(house: House) -> None:
    job_id = house.queued(ANSWERS, dataset=house.add_rows(TASKS))
    (house.runtime.storage.model("one") / "model.safetensors").unlink()
    row = house.run()
    assert (row.id, row.status) == (job_id, "failed")
    assert row.error is not None
    assert row.error["code"] == "unusable_data"


def test_models_at_work_are_not_deleted(house: House) -> None:
    house.queued(ANSWERS | {"against": ["two"]}, dataset=house.add_rows(TASKS))
    for name in ("one", "two"):
        assert house.client.delete(f"/models/{name}").status_code == 409


@pytest.mark.parametrize("asked", EACH_BY_ITSELF, ids=lambda asked: asked["kind"])
def test_one_model_at_a_time_is_in_memory(house: House, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]) -> None:
    """The one before was let go of once the next one had been read: twice the memory that the larger one takes."""
    read, known, together = model_files.read, [], []

    def counted(*given: Any) -> model_files.Weights:
        together.append(sum(network() is not None for network in known))
        weights = read(*given)
        known.append(weakref.ref(weights.network))
        return weights

    monkeypatch.setattr(model_files, "read", counted)
    house.done(asked, dataset=house.add_rows([task | {"text": task["output"]} for task in TASKS]))
    assert together == [0] * (4 if asked["kind"] == "judge" else 2)


def test_one_classifier_at_a_time_is_in_memory(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    read, known, together = classifiers._read, [], []

    def counted(place: model_files.Place) -> Classifier:
        gc.collect()
        together.append(sum(network() is not None for network in known))
        network = read(place)
        known.append(weakref.ref(network))
        return network

    monkeypatch.setattr(classifiers, "_read", counted)
    for name in ("calm", "rough"):
        house.add_classifier(name, ("yes", "no"))
    dataset = house.add_rows([{"text": "The tide turns.", "label": "yes"}, {"text": "Mira came.", "label": "no"}])
    house.done({"kind": "accuracy", "against": ["rough"]}, model="calm", dataset=dataset)
    assert together == [0, 0]
