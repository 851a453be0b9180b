"""The two scopes: what is committed, what is refused, and many writers at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.db.session import Database, after_commit, sqlite_journal_mode
from app.db.tables.dataset import DatasetRow


def a_dataset(dataset_id: str) -> DatasetRow:
    return DatasetRow(
        id=dataset_id, name="n", kind="text", format="txt", source="upload",
        size_bytes=1, characters=1, sha256="0" * 64, report={},
    )  # fmt: skip


def test_a_write_scope_commits_and_a_read_scope_sees_it(any_database: Database) -> None:
    with any_database.write() as session:
        session.add(a_dataset("ds_1"))
    with any_database.read() as session:
        row = session.get(DatasetRow, "ds_1")
        assert row is not None
        assert row.created_at > 1.7e9  # the database's own clock, in Unix seconds


def test_an_error_rolls_everything_back(any_database: Database) -> None:
    sent: list[str] = []

    def fail() -> None:
        with any_database.write() as session:
            session.add(a_dataset("ds_1"))
            session.flush()
            after_commit(session, lambda: sent.append("nudge"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with any_database.read() as session:
        assert session.get(DatasetRow, "ds_1") is None
    assert sent == []


def test_what_waits_for_the_commit_is_done_after_it(any_database: Database) -> None:
    seen: list[bool] = []

    def look() -> None:
        with any_database.read() as session:
            seen.append(session.get(DatasetRow, "ds_1") is not None)

    with any_database.write() as session:
        session.add(a_dataset("ds_1"))
        after_commit(session, look)
        assert seen == []
    assert seen == [True]


def test_a_read_scope_cannot_write(any_database: Database) -> None:
    with any_database.read() as session, pytest.raises(DBAPIError):
        session.execute(text("DELETE FROM datasets"))
    with any_database.write() as session:  # the connection is as good as before
        session.execute(text("DELETE FROM datasets"))


def test_writers_that_read_first_wait_for_each_other(any_database: Database) -> None:
    """With a deferred BEGIN most of these would fail with "database is locked"."""
    with any_database.write() as session:
        session.add(a_dataset("ds_1"))

    def count_up(_: int) -> None:
        for _ in range(10):
            with any_database.write() as session:
                query = session.query(DatasetRow).filter_by(id="ds_1").with_for_update()
                query.one().characters += 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(count_up, range(6)))  # raises what any of them raised
    with any_database.read() as session:
        row = session.get(DatasetRow, "ds_1")
        assert row is not None
        assert row.characters == 61


@pytest.mark.parametrize(
    ("version", "mode"),
    [
        ((3, 40, 1), "DELETE"),
        ((3, 44, 6), "WAL"),
        ((3, 45, 0), "DELETE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "DELETE"),
        ((3, 51, 3), "WAL"),
        ((3, 53, 4), "WAL"),
    ],
)
def test_wal_only_where_it_does_not_corrupt(version: tuple[int, int, int], mode: str) -> None:
    assert sqlite_journal_mode(version) == mode


@pytest.mark.services
def test_who_sleeps_in_the_midst_of_a_write_loses_its_locks(postgres_url: str) -> None:
    """A trainer stopped while it wrote held its job's row, and the sweep passed over it, for as long as it slept."""
    database = Database(postgres_url)
    with database.write() as session:
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "10s"
    with database.read() as session:  # holds no lock, and may be slow
        assert session.scalar(text("SHOW idle_in_transaction_session_timeout")) == "0"
    database.dispose()
