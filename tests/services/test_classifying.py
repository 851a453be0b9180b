"""A classify job from its row to a classifier with its threshold and report: learnt, resumed, from a trained model."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from app.config import Settings
from app.db.session import Database
from app.errors import WrongModel
from app.llm.checkpoint import load_model
from app.llm.config import ClassifierConfig
from app.llm.model.classifier import Classifier
from app.llm.train.config import ClassifyConfig
from app.llm.verdict import probabilities
from app.services import datasets, exporting, model_files, reports
from app.services.receiving import Said, receive
from tests.jobs_made import a_job
from tests.services.test_training import House, after, equal, house_on

WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog"]
TRAIN = asdict(
    ClassifyConfig(
        max_steps=40, batch_size=8, learning_rate=0.01, min_learning_rate=0.01, trainable="all", eval_every=20,
        sample_every=40, checkpoint_every=10,
    )
)  # fmt: skip


def rows(count: int, seed: int = 1) -> list[dict[str, str]]:
    """What has a cat in it is of the one class, what has a dog of the other."""
    rng = random.Random(seed)
    found = []
    for number in range(count):
        animal = ("cat", "dog")[number % 2]
        said = [rng.choice(["the", "sat", "on", "mat", "and"]) for _ in range(rng.randint(2, 9))]
        said.insert(rng.randrange(len(said)), animal)
        found.append({"said": " ".join(said), "kind": f"{animal}s"})
    return found


def put(house: House, content: list[dict[str, Any]], name: str = "rows.jsonl") -> str:
    lines = "".join(json.dumps(row) + "\n" for row in content).encode()
    received = receive(house.runtime.storage, io.BytesIO(lines), 1 << 20, Said(name))
    with house.database.write() as session:
        return datasets.register(session, house.runtime.storage, received, name).id


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    yield from house_on(settings, database)


def queue(house: House, dataset: str, train: dict[str, Any] | None = None, **fields: Any) -> str:
    given = {
        "recipe": "classify", "name": "a-model", "model": {"preset": "gpt-tiny"}, "tokenizer": "words",
        "datasets": [{"dataset": dataset, "weight": 1.0}], "columns": {"text": "said", "label": "kind"},
        "validation": {"fraction": 0.2, "test": 0.3},
    }  # fmt: skip
    with house.database.write() as session:
        return a_job(session, **given | fields, train=TRAIN | (train or {})).id


def test_a_job_becomes_a_classifier_with_its_report(house: House):
    job_id = queue(house, put(house, rows(120)))
    house.run()
    row, model = house.row(job_id), house.model()
    assert (row.status, row.step, row.error) == ("succeeded", 40, None)
    assert (model.family, model.tokenizer, model.config["classes"]) == ("classifier", "words", ["cats", "dogs"])
    network, meta = load_model(house.runtime.storage.model("a-model"))
    assert isinstance(network, Classifier)
    assert isinstance(meta.config, ClassifierConfig)
    assert json.loads(json.dumps(meta.config.to_dict())) == model.config
    assert (model.parameters, meta.config.max_tokens) == (network.parameter_count(), 10)
    assert meta.config.threshold is not None

    with house.database.read() as session:
        report = reports.of_job(session, job_id)
        assert reports.of_model(session, "a-model") == report
    assert (report["part"], report["rows"], report["threshold"]) == ("test", 36, meta.config.threshold)
    assert report["accuracy"] == report["accuracies"]["test"] > 0.9
    assert [sum(line) for line in report["confusion"]] == [18, 18]
    assert len(report["worst"]) == round(36 * (1 - report["accuracy"]))

    measured = [entry.figures for entry in house.metrics(job_id) if entry.val_loss is not None]
    assert [sorted(figures) for figures in measured] == [["accuracy", "val_accuracy"]] * len(measured)
    assert measured[-1]["val_accuracy"] > max(0.9, measured[0]["val_accuracy"])
    assert all(entry.train_loss is not None for entry in house.metrics(job_id) if entry.val_loss is not None)
    assert "of 24 right" in house.events(job_id, "sample")[-1].data["text"]


@pytest.mark.parametrize("targets", [None, ["query", "value", "up"]])
def test_lora_learns_classes_and_goes_on_bit_for_bit(house: House, targets: list[str] | None):
    """Beside the head, too, or else that learns whole; of the body nothing changes."""
    lora = {"rank": 4, "alpha": 8.0, "dropout": 0.1, "targets": targets}
    train = {"lora": lora, "trainable": "last_block", "learning_rate": 0.01, "min_learning_rate": 0.01}
    dataset = put(house, rows(120))
    job_id = queue(house, dataset, train, seed=4, name="whole")
    house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    with house.database.read() as session:
        assert reports.of_job(session, job_id)["accuracy"] > 0.8
    model = house.model("whole")
    network, _ = load_model(house.runtime.storage.model("whole"))
    assert isinstance(network, Classifier)
    assert model.parameters == network.parameter_count()
    assert model.config["lora"] == lora
    learnt = sum(p.numel() for name, p in network.named_parameters() if "lora_" in name)
    learnt += 0 if targets is None else 2 * (64 + 1)
    told = next(each for each in house.events(job_id, "message") if "training" in each.message)
    assert told.data["learning"] == learnt
    assert any(name.startswith("head.lora_") for name, _ in network.named_parameters()) == (targets is None)

    again = queue(house, dataset, train, seed=4)
    house.run(after(20, house, again))
    assert house.row(again).status == "queued"
    house.run()
    assert house.row(again).status == "succeeded", house.row(again).error
    assert equal(house.weights("whole"), house.weights())


def test_a_report_tells_what_went_wrong_and_where(house: House):
    """Of rows whose labels are turned round in one place, that place is the worst mistake."""
    content = rows(100)
    for number in range(0, 100, 10):
        content[number]["kind"] = "dogs"  # of a cat
    job_id = queue(house, put(house, content))
    house.run()
    with house.database.read() as session:
        worst = reports.of_job(session, job_id)["worst"]
    assert worst
    for each in worst:
        line = content[each["line"] - 1]
        assert (each["text"], each["label"]) == (line["said"], line["kind"])
        assert each["told"] != each["label"]
    assert [each["probability"] for each in worst] == sorted(each["probability"] for each in worst)


def test_a_shutdown_saves_and_another_attempt_goes_on_bit_for_bit(house: House):
    dataset = put(house, rows(60))
    drop = {"preset": "gpt-tiny", "drop_rate": 0.1}
    queue(house, dataset, {"max_steps": 12, "checkpoint_every": 4}, model=drop, name="unbroken")
    house.run()
    job_id = queue(house, dataset, {"max_steps": 12, "checkpoint_every": 4}, model=drop)
    for stop_after in (4, 8):
        house.run(after(stop_after, house, job_id))
        assert (house.row(job_id).status, house.row(job_id).step) == ("queued", stop_after)
    house.run()
    assert house.row(job_id).status == "succeeded"
    assert equal(house.weights(), house.weights("unbroken"))
    assert house.model().sha256 == house.model("unbroken").sha256
    assert house.model().report == house.model("unbroken").report


@pytest.mark.parametrize("trainable", ["head", "last_block"])
def test_a_trained_model_becomes_a_classifier_and_only_a_part_of_it_learns(house: House, trainable: str):
    house.job({"max_steps": 2}, name="base", model={"preset": "gpt-tiny"})
    house.run()
    job_id = queue(
        house, put(house, rows(40)), {"trainable": trainable, "max_steps": 3}, model={"name": "base"}, tokenizer="words"
    )
    house.run()
    assert (house.row(job_id).status, house.model().base_model) == ("succeeded", "base")
    before, after_it = house.weights("base"), house.weights()
    changed = {name for name, tensor in before.items() if not (tensor == after_it.get(f"body.{name}", tensor)).all()}
    assert all(name.startswith(("blocks.1.", "final_norm.")) for name in changed)
    assert bool(changed) == (trainable == "last_block")


def test_classes_are_balanced_and_another_dataset_is_measured_on(house: House):
    content = rows(40) + [row for row in rows(60, seed=2) if row["kind"] == "dogs"]
    job_id = queue(
        house,
        put(house, content),
        {"balanced": True, "max_steps": 2},
        validation={"dataset": put(house, rows(10, seed=3)), "test": 0.2},
    )
    house.run()
    assert house.row(job_id).status == "succeeded"
    with house.database.read() as session:
        report = reports.of_job(session, job_id)
    assert [sum(line) for line in report["confusion"]] == [4, 4]  # a fifth of 20 each
    assert set(report["accuracies"]) == {"train", "validation", "test"}


def test_more_than_two_classes_have_no_threshold_and_nothing_held_out_no_report(house: House):
    content = [row | {"kind": f"{row['kind']}{number % 2}"} for number, row in enumerate(rows(30))]
    content += [row | {"kind": "none"} for row in rows(10)]
    job_id = queue(house, put(house, content), {"max_steps": 2}, validation={"fraction": 0.0, "test": 0.0})
    house.run()
    assert house.row(job_id).status == "succeeded"
    assert house.model().config["threshold"] is None
    assert (house.row(job_id).report, house.model().report) == (None, None)


def test_what_the_report_says_is_what_the_model_says(house: House):
    content = rows(60)
    job_id = queue(house, put(house, content))
    house.run()
    network, meta = load_model(house.runtime.storage.model("a-model"))
    ids = [house.tokenizer.encode(row["said"]) for row in content]
    right = 0
    for numbers, chances in probabilities(network, meta.config, ids):
        told = np.where(chances[:, 1] >= meta.config.threshold, "dogs", "cats")
        right += sum(content[number]["kind"] == its for number, its in zip(numbers, told, strict=True))
    with house.database.read() as session:
        report = reports.of_job(session, job_id)
    sizes = {"train": 30, "validation": 12, "test": 18}
    assert right == round(sum(report["accuracies"][part] * size for part, size in sizes.items()))


def test_a_classifier_writes_nothing_and_no_other_format_holds_it(house: House):
    queue(house, put(house, rows(30)), {"max_steps": 2})
    house.run()
    with house.database.read() as session, pytest.raises(WrongModel, match="POST /classify"):
        model_files.find(session, house.runtime.storage, "a-model")
    with pytest.raises(WrongModel, match="no place for"):
        exporting.export(house.runtime, "a-model", "gguf", "f32")
    assert exporting.download(house.runtime, "a-model").size_bytes > 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": None}, "line 3: kind is empty"),
        ({"said": "  "}, "line 3: said is empty"),
        ({"said": ["a"]}, "line 3: said must be text, not list"),
    ],
    ids=["no label", "no text", "a list"],
)
def test_a_row_that_cannot_be_used_fails_the_job_with_its_line(house: House, change: dict[str, Any], said: str):
    content = rows(20)
    content[2] |= change
    job_id = queue(house, put(house, content))
    house.run()
    assert house.row(job_id).status == "failed"
    assert said in house.row(job_id).error["message"]


def test_a_run_that_diverges_tells_the_rows_of_its_batch(house: House):
    job_id = queue(house, put(house, rows(20)), {"learning_rate": 10.0, "min_learning_rate": 10.0, "max_rise": 1e-6})
    house.run()
    row = house.row(job_id)
    assert (row.status, row.error["code"]) == ("failed", "training_diverged")
