"""Tokenizers of one's own on both databases: made, kept, deleted, and held while a job is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings
from app.db.session import Database
from app.errors import Conflict, InvalidRequest, NameTaken, QueueFull, TokenizerNotFound
from app.schemas.job import JobCreate
from app.schemas.tokenizer import TokenizerCreate
from app.services import jobs, tokenizer_making
from app.services.job_checks import Plan
from app.services.runtime import Runtime
from app.services.storage import Storage
from app.services.tokenizer_making import check, delete, make, make_bpe, register
from app.services.tokenizers import Tokenizers
from tests.jobs_made import a_dataset, a_job

TEXT = "The tide came in and the tide went out, and the clock of the tide went on. " * 20
BODY = TokenizerCreate(name="tide", kind="bpe", dataset="ds_1", vocab_size=280)


@pytest.fixture
def storage(any_database: Database, tmp_path: Path) -> Storage:
    made = Storage(tmp_path / "data", tmp_path / "assets")
    made.prepare()
    made.dataset("ds_1").write_text(TEXT)
    with any_database.write() as session:
        a_dataset(session, "ds_1", size_bytes=len(TEXT), characters=len(TEXT))
    return made


def create(database: Database, storage: Storage, body: TokenizerCreate = BODY) -> None:
    with database.read() as session:
        dataset = check(session, body)
    made = make(storage, dataset, body)
    with database.write() as session:
        register(session, storage, body.name, made, dataset.id)


def test_a_byte_pair_tokenizer_is_kept_and_read_again(any_database, storage):
    create(any_database, storage)
    with any_database.read() as session:
        tokenizer = Tokenizers(storage).get(session, "tide")
        info = Tokenizers(storage).one(session, "tide")
    assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
    assert (info.kind, info.version, info.vocab_size, info.special_tokens) == ("bpe", None, 280, ("<|endoftext|>",))
    assert info.trained_bytes == len(TEXT)
    assert list(storage.scratch.iterdir()) == []


def test_a_deleted_name_is_free_and_its_file_gone(any_database, storage):
    create(any_database, storage)
    with any_database.read() as session, pytest.raises(NameTaken):
        check(session, BODY)
    with any_database.write() as session:
        delete(session, storage, "tide")
    assert not storage.tokenizer("tide").exists()
    tokenizers = Tokenizers(storage)
    create(any_database, storage, BODY.model_copy(update={"vocab_size": 270}))
    with any_database.read() as session:
        assert tokenizers.get(session, "tide").vocab_size == 270


@pytest.mark.parametrize("name", ["nowhere", "", "../tide", "a\0", "\ud800"])
def test_what_is_not_there_cannot_be_deleted(any_database, storage, name):
    with any_database.write() as session, pytest.raises(TokenizerNotFound):
        delete(session, storage, name)


def test_one_that_a_live_job_needs_stays(any_database, storage):
    create(any_database, storage)
    with any_database.write() as session:
        job_id = a_job(session, tokenizer="tide").id
    with any_database.write() as session, pytest.raises(Conflict, match=job_id):
        delete(session, storage, "tide")
    assert storage.tokenizer("tide").exists()


def test_a_job_whose_tokenizer_goes_meanwhile_is_refused(settings: Settings, database: Database, monkeypatch):
    """It was there when the job was checked; what is written must not name what is gone."""
    runtime = Runtime.open(settings)
    runtime.storage.dataset("ds_1").write_text(TEXT)
    with database.write() as session:
        a_dataset(session, "ds_1", size_bytes=len(TEXT), characters=len(TEXT))
    create(database, runtime.storage)

    def erased(_storage: Storage, plan: Plan) -> Plan:
        with database.write() as session:
            delete(session, runtime.storage, "tide")
        return plan

    monkeypatch.setattr(jobs.job_checks, "with_data", erased)
    body = JobCreate.model_validate({"recipe": "pretrain", "dataset": "ds_1", "model": {}, "tokenizer": "tide"})
    with pytest.raises(TokenizerNotFound) as caught:
        jobs.create(runtime, body)
    assert caught.value.param == "tokenizer"
    with database.read() as session:
        assert jobs.page(session, None, 10) == ([], False)
    runtime.close()


def test_a_long_text_is_read_in_parts_from_all_over_it(any_database, storage, monkeypatch):
    monkeypatch.setattr(tokenizer_making, "_MAX_LEARNT_BYTES", 1 << 17)
    text = "".join(f"part{n} of the tide and the clock. " * 10 for n in range(4000))
    storage.dataset("ds_1").write_text(text)
    with any_database.read() as session:
        dataset = check(session, BODY)
    made = make_bpe(storage, dataset, 300, [])
    assert len(text) > 10 * made.trained_bytes
    assert 100_000 < made.trained_bytes < 150_000
    assert made == make_bpe(storage, dataset, 300, [])


def test_a_failed_training_leaves_the_next_one_free(any_database, storage):
    with any_database.read() as session:
        dataset = check(session, BODY)
    with pytest.raises(InvalidRequest, match="ask for no more"):
        make_bpe(storage, dataset, 5000, [])
    assert make_bpe(storage, dataset, 270, []).vocab_size == 270
    with tokenizer_making._learning, pytest.raises(QueueFull) as caught:
        make_bpe(storage, dataset, 270, [])
    assert caught.value.retry_after_s == 10
