"""A dpo job from its row to a model: figures in its metrics, the reference that stays, resumed to the same bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest

from app.config import Settings
from app.db.session import Database
from app.llm.checkpoint import load_model
from app.llm.train.config import PreferenceConfig
from app.llm.train.dpo import FIGURES
from app.services.prompt_templates import TEMPLATES
from tests.jobs_made import a_job
from tests.services.test_instructing import WORDS, a_house, add_rows
from tests.services.test_training import House, after, equal

ROWS = [{"prompt": word, "chosen": word.upper(), "rejected": f"{word}?"} for word in WORDS * 3]
TRAIN = asdict(
    PreferenceConfig(
        max_steps=6, batch_size=4, learning_rate=3e-3, eval_every=3, sample_every=6, sample_tokens=4,
        checkpoint_every=2, template="alpaca",
    )
)  # fmt: skip


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    for made in a_house(settings, database):
        add_rows(made, "ds_3", ROWS)
        yield made


def queue(house: House, train: dict[str, Any] = TRAIN, **fields: Any) -> str:
    given = {
        "recipe": "dpo", "name": "a-model", "model": {"name": "base"}, "tokenizer": "bytes",
        "datasets": [{"dataset": "ds_3", "weight": 1.0}], "validation": {"fraction": 0.25, "test": 0.0},
    }  # fmt: skip
    with house.database.write() as session:
        return a_job(session, **given | fields, train=train).id


def test_what_is_preferred_is_learnt_and_told(house: House):
    job_id = queue(house)
    house.run()
    row = house.row(job_id)
    assert (row.status, row.step, row.error) == ("succeeded", 6, None)
    measured = [metric for metric in house.metrics(job_id) if metric.val_loss is not None]
    first, last = measured[0].figures, measured[-1].figures
    assert set(last) == set(FIGURES)
    assert first["margin"] == pytest.approx(0, abs=1e-4)
    assert first["kl"] == pytest.approx(0, abs=1e-4)
    assert last["margin"] > 0
    assert last["kl"] > 0
    assert last["val_accuracy"] > 0.5
    assert measured[-1].val_loss < measured[0].val_loss == pytest.approx(0.6931, abs=1e-3)
    assert load_model(house.runtime.storage.model("a-model"))[1].chat_template == TEMPLATES["alpaca"]


def test_a_job_that_was_stopped_ends_with_the_same_weights(house: House):
    """It is compared with the network that it began with, not with the one that it goes on from."""
    queue(house, name="whole")
    house.run()
    stopped = queue(house)
    house.run(after(2, house, stopped))
    assert house.row(stopped).status == "queued"
    house.run()
    assert house.row(stopped).status == "succeeded"
    assert equal(house.weights("whole"), house.weights())


def test_a_job_is_never_compared_with_another_network_of_the_name(house: House):
    job_id = queue(house, model_versions={"base": "the sha256 of one that was replaced"})
    house.run()
    row = house.row(job_id)
    assert (row.status, row.error["code"], row.error["param"]) == ("failed", "conflict", "model")


def test_an_adapter_learns_against_its_base_which_it_stands_beside(house: House):
    """The reference is the network with its adapter off: figures begin at nothing, and a resumed run is the same."""
    train = TRAIN | {"lora": {"rank": 2, "dropout": 0.1}, "learning_rate": 3e-2}
    before = house.weights("base")
    whole = queue(house, train, name="base:whole")
    house.run()
    row = house.row(whole)
    assert (row.status, row.step, row.error) == ("succeeded", 6, None)
    measured = [metric for metric in house.metrics(whole) if metric.val_loss is not None]
    assert measured[0].figures["kl"] == pytest.approx(0, abs=1e-6)
    assert measured[-1].figures["kl"] > 0
    assert measured[-1].figures["margin"] > 0
    assert measured[-1].val_loss < measured[0].val_loss == pytest.approx(0.6931, abs=1e-3)
    model = house.model("base:whole")
    assert (model.family, model.base_model) == ("adapter", "base")
    stopped = queue(house, train, name="base:stopped")
    house.run(after(2, house, stopped))
    assert house.row(stopped).status == "queued"
    house.run()
    assert house.row(stopped).status == "succeeded"
    assert equal(house.weights("base:whole"), house.weights("base:stopped"))
    assert equal(house.weights("base"), before)


def test_answers_that_are_the_same_fail_the_job_with_their_line(house: House):
    add_rows(house, "ds_4", [*ROWS[:2], {"prompt": "x", "chosen": "y", "rejected": "y"}])
    job_id = queue(house, datasets=[{"dataset": "ds_4", "weight": 1.0}])
    house.run()
    assert "line 3: rejected: it is the same as chosen" in house.row(job_id).error["message"]
