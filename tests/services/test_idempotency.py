"""One request, sent twice, at once or later, makes one job: on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables import job, job_list
from app.errors import IdempotencyKeyReused, InvalidRequest, NameTaken
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.job import JobCreate
from app.services import idempotency, jobs
from app.services.runtime import Runtime
from app.services.tokenizer_making import Made, register
from tests.jobs_made import a_dataset

TEXT = "the cat sat on the mat , and the dog sat on the cat . " * 60


@pytest.fixture
def runtime(settings: Settings, any_database: Database) -> Iterator[Runtime]:
    url = any_database.url.render_as_string(hide_password=False)
    made = Runtime.open(settings.model_copy(update={"database_url": url}))
    made.storage.dataset("ds_1").write_text(TEXT)
    with made.database.write() as session:
        a_dataset(session, characters=len(TEXT), size_bytes=len(TEXT))
        register(session, made.storage, "words", Made.of(WordTokenizer.build(TEXT, version=2), len(TEXT)), "ds_1")
    yield made
    made.close()


def body(**fields: object) -> JobCreate:
    return JobCreate.model_validate({"recipe": "pretrain", "dataset": "ds_1", "tokenizer": "words"} | fields)


@pytest.mark.parametrize("fields", [{}, {"name": "tide"}])
def test_simultaneous_requests_of_one_key_make_one_job(runtime: Runtime, fields: dict[str, object]) -> None:
    barrier = threading.Barrier(6)

    def ask(_: int) -> jobs.Created:
        barrier.wait()
        return jobs.create(runtime, body(**fields), "a key")

    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(ask, range(6)))
    assert len({one.row.id for one in made}) == 1
    assert [one.is_new for one in made].count(True) == 1
    with runtime.database.read() as session:
        assert len(job_list.newest_first(session, None, 100)) == 1


def test_the_same_request_later_gives_the_job_as_it_is_then(runtime: Runtime) -> None:
    first = jobs.create(runtime, body(name="tide", seed=1), "k")
    with runtime.database.write() as session:
        row = job.lock(session, first.row.id)
        assert row is not None
        job.finish(row, job.Ending("cancelled"))
    again = jobs.create(runtime, body(seed=1, name="tide"), "k")
    assert (again.row.id, again.row.status, again.is_new) == (first.row.id, "cancelled", False)
    with pytest.raises(IdempotencyKeyReused):
        jobs.create(runtime, body(name="tide", seed=2), "k")
    assert jobs.create(runtime, body(name="tide", seed=1), "another").row.id != first.row.id


def test_another_job_of_the_name_is_no_earlier_request(runtime: Runtime) -> None:
    jobs.create(runtime, body(name="tide"))
    with pytest.raises(NameTaken):
        jobs.create(runtime, body(name="tide"), "k")


@pytest.mark.parametrize("text", ["", "x" * 256, "ä", "a\nb", "\x7f"])
def test_a_key_is_printable_and_short(text: str) -> None:
    with pytest.raises(InvalidRequest, match="255 printable"):
        idempotency.read(text, body())


def test_a_key_of_255_characters_is_one() -> None:
    assert idempotency.read("~" * 255, body()).request_sha256 == idempotency.read(" ", body()).request_sha256
