"""The batches shown before a job are those that it trains on."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.config import Settings
from app.db.session import Database
from app.errors import AppError, DataMissing, NoDiskSpace, TooLarge
from app.llm.data.loader import Loader
from app.schemas.dataset import BatchesQuery
from app.services import first_batches, job_data, pretraining
from app.services.corpus import Encoder
from app.services.datasets import read, register, register_builtin
from app.services.receiving import Said, receive
from app.services.runtime import Runtime
from app.services.tokenizer_making import make_word
from app.services.tokenizer_making import register as register_tokenizer
from tests.jobs_made import a_job

TEXT = "the-tide-clock"


@pytest.fixture
def runtime(settings: Settings, database: Database) -> Iterator[Runtime]:
    made = Runtime.open(settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"}))
    with made.database.write() as session:
        register_builtin(session, made.storage)
    with made.database.write() as session:
        words = make_word(made.storage, read(session, TEXT), 2)
        register_tokenizer(session, made.storage, "words", words, TEXT)
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
    loader = Loader(run.data.batches)
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


def test_rows_are_read_by_a_column_with_an_end_behind_each(runtime: Runtime) -> None:
    content = "".join(f'{{"body": "the tide {n}", "title": "clock"}}\n' for n in range(100)).encode()
    received = receive(runtime.storage, io.BytesIO(content), 1 << 20, Said("a.jsonl"))
    with runtime.database.write() as session:
        dataset = register(session, runtime.storage, received, "a").id
        tokenizer = runtime.tokenizers.get(session, "words")
    query = BatchesQuery(
        tokenizer="words", context_length=8, batch_size=1, seed=1, validation=0.5, column="body", limit=20
    )
    sampled = first_batches.sample(runtime, dataset, query)
    row = [*tokenizer.encode("the tide 1"), tokenizer.special_tokens["<|endoftext|>"]]
    assert sampled.head["tokens"] == 50 * len(row)
    assert len(sampled.batches) == len(range(0, 50 * len(row) - 8, 8))
    for batch in sampled.shown():
        assert batch["inputs"][0].count(row[-1]) == 2
    for fields, param in (({"column": None}, "dataset_id"), ({"column": "none"}, "column")):
        with pytest.raises(AppError) as refusal:
            first_batches.sample(runtime, dataset, query.model_copy(update=fields))
        assert refusal.value.param == param


def test_a_packed_parquet_is_as_long_as_what_is_in_it(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_batches, "MAX_DATASET_BYTES", 100_000)
    file = io.BytesIO()
    pq.write_table(pa.table({"text": ["the tide " * 100] * 1000}), file)
    received = receive(runtime.storage, io.BytesIO(file.getvalue()), 1 << 20, Said("a.parquet"))
    with runtime.database.write() as session:
        dataset = register(session, runtime.storage, received, "a").id
    assert received.size_bytes < 10_000
    with pytest.raises(TooLarge, match=r"dataset_id: 9\d\d,\d\d\d bytes are more than the 100,000"):
        first_batches.sample(runtime, dataset, BatchesQuery(tokenizer="words"))


def test_a_text_whose_file_is_gone(runtime: Runtime) -> None:
    runtime.storage.dataset(TEXT).unlink()
    with pytest.raises(DataMissing):
        shown(runtime)


def test_a_disk_without_room_for_the_tokens(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(job_data, "read_data", full)
    with pytest.raises(NoDiskSpace, match="no room on the disk"):
        shown(runtime)
