"""Migrations: up, down, up again, equal to the tables in code, once however many start together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError

from app.db.base import Base
from app.db.migrate import MIGRATIONS, SchemaUnknown, migrate
from app.db.session import Database
from app.db.tables import (  # noqa: F401 - fills the metadata
    api_key,
    audit,
    branch,
    checkpoint,
    dataset,
    ended_session,
    event,
    job,
    metric,
    model,
    tokenizer,
    worker,
)
from tests.jobs_made import a_job


def test_the_migrated_schema_is_the_one_in_code(any_database: Database) -> None:
    with any_database.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_down_and_up_again(any_database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    migrate(any_database)
    with any_database.connect() as connection:
        assert "jobs" in inspect(connection).get_table_names()


def test_a_newer_schema_is_refused(any_database: Database) -> None:
    with any_database.connect() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(SchemaUnknown, match="9999"):
        migrate(any_database)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def test_processes_that_start_together_migrate_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path / 'new.db'}" if kind == "sqlite" else request.getfixturevalue("postgres_url")

    def start(_: int) -> None:
        database = Database(url)
        try:
            migrate(database)
        finally:
            database.dispose()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(start, range(4)))
    database = Database(url)
    with database.connect() as connection:
        assert "jobs" in inspect(connection).get_table_names()
    database.dispose()


def test_word_tokenizers_of_the_first_schema_keep_their_special_tokens(any_database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    columns, values = "name, kind, version, vocab_size, sha256, created_at", ":name, 'word', :v, 9, '', 0"
    insert = f"INSERT INTO tokenizers ({columns}) VALUES ({values})"
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
        for version in (1, 2):
            connection.execute(text(insert), {"name": f"words-{version}", "v": version})
    migrate(any_database)
    with any_database.read() as session:
        rows = tokenizer.by_name(session)
        assert [(row.version, row.special_tokens) for row in rows] == [(1, []), (2, ["<|endoftext|>", "<|unk|>"])]
        assert [row.trained_bytes for row in rows] == [None, None]


def test_datasets_of_the_third_schema_are_texts(any_database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    columns = "id, name, kind, format, source, size_bytes, characters, sha256, report, created_at"
    values = "'ds_1', 'a.txt', 'text', 'txt', 'upload', 1, 1, '', '{}', 0"
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        connection.execute(text(f"INSERT INTO datasets ({columns}) VALUES ({values})"))
    migrate(any_database)
    with any_database.read() as session:
        row = dataset.get(session, "ds_1")
        assert row is not None
        assert (row.rows, row.columns, row.compression) == (None, [], None)


def test_jobs_of_an_earlier_schema_stay_with_all_that_is_theirs(any_database: Database) -> None:
    """Up from the first schema: a table of jobs that was made anew would take checkpoints, metrics and events along."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0003")
        for statement in EARLIER:
            connection.execute(text(statement))
    migrate(any_database)
    with any_database.read() as session:
        row = job.get(session, "job_1")
        assert row is not None
        assert (row.status, row.pause_requested, row.idempotency_key) == ("running", False, None)
        assert [one.id for one in checkpoint.of_job(session, "job_1")] == ["job_1@5"]
        assert [one.message for one in event.of_job(session, "job_1", 0, 9)] == ["queued"]
        made = model.get(session, "tide")
        assert made is not None
        assert made.job_id == "job_1"
    with any_database.write() as session:
        session.delete(job.lock(session, "job_1"))
    with any_database.read() as session:
        assert checkpoint.of_job(session, "job_1") == []
        left = model.get(session, "tide")
        assert left is not None
        assert left.job_id is None


EARLIER = (
    "INSERT INTO jobs (id, recipe, name, status, datasets, model, tokenizer, validation, train, device, devices,"
    " priority, seed, step, attempt, stalled_attempts, attempt_from_step, fence, not_before,"
    " cancel_requested, created_at)"
    " VALUES ('job_1', 'pretrain', 'tide', 'running', '[]', '{}', 'gpt2', '{}', '{}', 'auto', 1,"
    " 0, 1, 5, 1, 0, 0, 1, 0, false, 0)",
    "INSERT INTO checkpoints (id, job_id, step, attempt, fence, path, size_bytes, sha256, metrics, created_at)"
    " VALUES ('job_1@5', 'job_1', 5, 1, 1, 'p', 1, '0', '{}', 0)",
    "INSERT INTO events (job_id, created_at, level, type, message, data)"
    " VALUES ('job_1', 0, 'info', 'status', 'queued', '{}')",
    "INSERT INTO models (name, family, config, tokenizer, parameters, size_bytes, sha256, job_id, created_at)"
    " VALUES ('tide', 'gpt2', '{}', 'gpt2', 1, 1, '0', 'job_1', 0)",
)


def test_texts_and_what_refers_to_them_outlive_the_columns_of_rows(any_database: Database) -> None:
    with any_database.write() as session:
        for name, count in (("text", None), ("rows", 3)):
            session.add(
                dataset.DatasetRow(
                    id=name, name=name, kind="text" if count is None else "records", format="txt", source="upload",
                    size_bytes=1, characters=1, rows=count, columns=[], sha256="", report={},
                )
            )  # fmt: skip
        session.flush()
        session.add(
            tokenizer.TokenizerRow(
                name="words", kind="word", version=2, vocab_size=9, sha256="", special_tokens=[], dataset_id="text"
            )
        )
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0008")
        assert connection.execute(text("SELECT id FROM datasets")).scalars().all() == ["text"]
        assert connection.execute(text("SELECT dataset_id FROM tokenizers")).scalars().all() == ["text"]
    migrate(any_database)


def test_two_owners_keys_of_one_name_outlive_the_way_down(any_database: Database) -> None:
    """Before owners an idempotency key was everybody's: those of owners are forgotten on the way down, not refused."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with any_database.write() as session:
        for owner in ("key_1", "key_2", None):
            a_job(session, id=f"job_{owner or 'nobodys'}", owner=owner, idempotency_key="once", request_sha256="0")
    with pytest.raises(IntegrityError), any_database.write() as session:
        a_job(session, id="job_3", owner=None, idempotency_key="once")
    with pytest.raises(IntegrityError), any_database.write() as session:
        a_job(session, id="job_3", owner="key_1", idempotency_key="once")
    with any_database.connect() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0024")
        found = connection.execute(text("SELECT id, idempotency_key FROM jobs ORDER BY id")).all()
        assert [tuple(row) for row in found] == [("job_key_1", None), ("job_key_2", None), ("job_nobodys", "once")]
    migrate(any_database)
    with any_database.read() as session:
        assert {row.owner for row in job.live(session)} == {None}
