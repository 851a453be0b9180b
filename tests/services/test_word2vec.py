"""A word2vec job from its row to vectors that can be looked up: learnt, resumed, cancelled."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pytest
import torch

from app.config import Settings
from app.db.session import Database
from app.errors import WrongModel
from app.llm.checkpoint import load_model
from app.llm.model.word_vectors import WordVectors
from app.llm.train.config import SkipGramConfig
from app.llm.vectors import nearest
from app.services import model_files
from app.services.tokenizer_making import Made, register
from tests.jobs_made import a_job
from tests.services.test_training import House, after, equal, house_on

SEA, KITCHEN = ["tide", "wave", "harbour", "anchor"], ["bread", "oven", "spoon", "kettle"]


def a_text() -> str:
    """Words of the sea stand with words of the sea, words of the kitchen with theirs."""
    rng = random.Random(1)
    groups = (rng.choice((SEA, KITCHEN)) for _ in range(200))
    return " . ".join(" ".join(f"{rng.choice(group)} the" for _ in range(4)) for group in groups)


TRAIN = asdict(
    SkipGramConfig(
        max_steps=60, batch_size=128, window=4, subsample=0.05, learning_rate=0.03, eval_every=20, sample_every=30,
        sample_prompt="tide oven", checkpoint_every=10,
    )
)  # fmt: skip


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    for made in house_on(settings, database):
        text = a_text()
        made.add_text("ds_2", text)
        tokenizer = type(made.tokenizer).build(text, version=2)
        with made.database.write() as session:
            register(session, made.runtime.storage, "of-the-sea", Made.of(tokenizer, len(text)), "ds_2")
        made.tokenizer = tokenizer
        yield made


def queue(house: House, **train: Any) -> str:
    with house.database.write() as session:
        return a_job(
            session, recipe="word2vec", name="a-model", model={"emb_dim": 16}, tokenizer="of-the-sea",
            datasets=[{"dataset": "ds_2", "weight": 1.0}], train=TRAIN | train,
        ).id  # fmt: skip


def test_words_that_belong_together_become_neighbours(house: House):
    job_id = queue(house, max_steps=90)
    house.run()
    row, model = house.row(job_id), house.model()
    assert (row.status, row.step, row.error) == ("succeeded", 90, None)
    assert (model.family, model.tokenizer, model.config["emb_dim"]) == ("word2vec", "of-the-sea", 16)
    network, meta = load_model(house.runtime.storage.model("a-model"))
    assert isinstance(network, WordVectors)
    assert meta.config.to_dict() == model.config
    assert model.parameters == network.parameter_count() == 2 * 16 * house.tokenizer.vocab_size

    ids = [house.tokenizer.encode(word)[0] for word in SEA + KITCHEN]
    table = network.token_embedding.weight.detach()[ids]
    for place in range(8):
        found, _ = nearest(table, torch.tensor([place]), 3)
        group = range(4) if place < 4 else range(4, 8)
        assert set(found[0].tolist()) == set(group) - {place}

    measured = house.metrics(job_id)
    assert measured[-1].loss < 0.9 * measured[1].loss
    assert measured[-1].val_loss < 0.9 * measured[0].val_loss
    assert measured[-1].tokens == 90 * 128
    sample = house.events(job_id, "sample")[-1].data["text"].split("\n")
    assert [line.split(":")[0] for line in sample] == ["tide", "oven"]
    shown = set(sample[0].split(": ")[1].split(", "))
    assert len(shown) == 5
    assert len(shown & set(SEA)) >= 2


def test_a_resumed_job_gives_the_same_bits(house: House):
    queue(house)
    house.run()
    unbroken = house.weights()
    job_id = queue(house)  # another of the same seed
    with house.database.write() as session:
        session.merge(house.row(job_id)).name = "again"
    for stop_after in (10, 40):
        house.run(after(stop_after, house, job_id))
        assert (house.row(job_id).status, house.row(job_id).step) == ("queued", stop_after)
    house.run()
    assert house.row(job_id).status == "succeeded"
    assert equal(house.weights("again"), unbroken)
    assert [entry.step for entry in house.metrics(job_id)] == list(range(61))


def test_a_cancelled_job_leaves_no_vectors(house: House):
    job_id = queue(house)
    house.run(after(20, house, job_id, "cancelled"))
    assert house.row(job_id).status == "cancelled"
    assert house.model() is None
    assert house.checkpoints(job_id)[0].step == 20


def test_a_checkpoint_of_vectors_is_found_but_does_not_write(house: House):
    job_id = queue(house)
    house.run()
    storage = house.runtime.storage
    with house.database.read() as session:
        place = model_files.find_any(session, storage, f"{job_id}@60")
        assert model_files.family(place) == "word2vec"
        for name in (f"{job_id}@60", "a-model"):
            with pytest.raises(WrongModel, match="POST /embeddings"):
                model_files.find(session, storage, name)


def test_what_is_read_of_each_text_is_told(house: House):
    """At the start for the whole run, at the end for what was done; a word in the middle counts as a token read."""
    house.add_text("ds_3", "the tide and the wave " * 40)
    job_id = queue(house, max_steps=30)
    with house.database.write() as session:
        row = session.merge(house.row(job_id))
        row.datasets = [{"dataset": "ds_2", "weight": 1.0}, {"dataset": "ds_3", "weight": 3.0}]
        row.validation = {"fraction": 0.0}
    house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    begun, ended = (event.data["sources"] for event in house.events(job_id, "message") if event.data.get("sources"))
    assert begun == ended
    assert [source["dataset"] for source in begun] == ["ds_2", "ds_3"]
    assert sum(source["tokens_read"] for source in begun) == 30 * 128
    assert [source["share"] for source in begun] == pytest.approx([0.25, 0.75], abs=0.02)
    for source in begun:
        assert source["epochs"] == pytest.approx(source["tokens_read"] / source["tokens"], abs=1e-5)


def test_a_text_shorter_than_a_window_fails_the_job(house: House):
    house.add_text("ds_4", "the tide the wave the tide the")
    job_id = queue(house)
    with house.database.write() as session:
        session.merge(house.row(job_id)).datasets = [{"dataset": "ds_4", "weight": 1.0}]
    house.run()
    assert house.row(job_id).error["param"] == "dataset"
