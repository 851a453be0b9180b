"""The batches shown before a job are those that it trains on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.config import Settings
from app.db.session import Database
from app.errors import AppError
from app.llm.data.loader import Loader
from app.schemas.dataset import BatchesQuery
from app.services import first_batches, pretraining
from app.services.corpus import Encoder
from app.services.datasets import read, register_builtin
from app.services.runtime import Runtime
from app.services.tokenizer_making import Made, make_word, register
from tests.jobs_made import a_job

TEXT = "the-tide-clock"


@pytest.fixture
def runtime(settings: Settings, database: Database) -> Iterator[Runtime]:
    made = Runtime.open(settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"}))
    with made.database.write() as session:
        register_builtin(session, made.storage)
    with made.database.write() as session:
        words: Made = make_word(made.storage, read(session, TEXT), 2)
        register(session, made.storage, "words", words, TEXT)
    yield made
    made.close()


def shown(runtime: Runtime, **query: Any) -> list[dict[str, Any]]:
    return list(first_batches.sample(runtime, TEXT, BatchesQuery(tokenizer="words", **query)).shown())


@pytest.mark.parametrize("validation", [0.1, 0.0])
def test_they_are_the_jobs_own(runtime: Runtime, validation: float) -> None:
    found = shown(runtime, context_length=16, batch_size=3, seed=7, validation=validation, limit=4)
    with runtime.database.write() as session:
        job = a_job(
            session,
            datasets=[{"dataset": TEXT, "weight": 1.0}],
            tokenizer="words",
            validation={"fraction": validation},
            train={"max_steps": 4, "context_length": 16, "batch_size": 3, "eval_every": 1},
            seed=7,
        )
        encoder = Encoder.of(session, "words", runtime.tokenizers.get(session, "words"))
    network, meta = pretraining.make_network(runtime, job, encoder)
    run = pretraining.make_run(runtime, job, encoder, network, meta, lambda: None)
    loader = Loader(run.batches)
    assert len(found) == 4
    for batch in found:
        inputs, targets = next(loader)
        assert (batch["inputs"], batch["targets"]) == (inputs.tolist(), targets.tolist())


def test_the_head_tells_of_the_part_that_is_learnt_from(runtime: Runtime) -> None:
    query = BatchesQuery(tokenizer="words", context_length=16, batch_size=3, seed=7)
    head = first_batches.sample(runtime, TEXT, query).head
    whole = first_batches.sample(runtime, TEXT, query.model_copy(update={"validation": 0.0})).head
    assert (head["seed"], head["tokenizer"]) == (7, "words")
    assert 0.85 < head["tokens"] / whole["tokens"] < 0.95
    assert head["batches"] == head["windows"] // 3


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"context_length": 60_000, "batch_size": 1}, "context_length"),
        ({"context_length": 60_000, "batch_size": 8}, "limit"),
        ({"context_length": 1500, "batch_size": 1}, "validation"),
    ],
)
def test_what_does_not_go_together_is_named(runtime: Runtime, query: dict[str, Any], param: str) -> None:
    with pytest.raises(AppError) as refusal:
        shown(runtime, **query)
    assert (refusal.value.code, refusal.value.param) == ("invalid_value", param)
