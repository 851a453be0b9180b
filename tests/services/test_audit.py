"""The audit log: rows as they are told, what is refused again and again, how long it is kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from app.config import Settings
from app.db.session import Database
from app.db.tables.audit import AuditRow
from app.services import audit, keys
from app.services.audit import MOST_TOLD, Deed, Refusals
from app.services.storage import Storage
from app.services.sweep import Sweeper

REFUSED = Deed("job.create", "refused", address="10.0.0.1", status=401, code="invalid_api_key")


def read(database: Database, **wanted: object) -> list[AuditRow]:
    with database.read() as session:
        return [row for row, _ in audit.page(session, None, 1000, None, wanted)[0]]


def test_a_deed_is_a_row_and_a_line_of_the_log(any_database: Database) -> None:
    with capture_logs() as lines:
        audit.write(
            any_database, Deed("job.create", key_id="key_1", resource="job_1\x00\n" + "x" * 1000, status=202), 3
        )
    (row,) = read(any_database)
    assert (row.action, row.outcome, row.key_id, row.status, row.code, row.times) == (
        "job.create", "done", "key_1", 202, None, 3,
    )  # fmt: skip
    assert row.resource is not None
    assert row.resource.startswith("job_1\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}x")
    assert len(row.resource) == audit.SHOWN
    (line,) = lines
    assert (line["event"], line["key_id"], line["times"]) == ("audit", "key_1", 3)
    assert "code" not in line


def test_keys_that_are_made_and_revoked_are_told_without_their_secret(any_database: Database) -> None:
    with any_database.write() as session:
        made = keys.create(session, "anna")
        keys.revoke(session, "anna")
    assert [(row.action, row.resource) for row in read(any_database)] == [
        ("key.revoke", made.row.id),
        ("key.create", made.row.id),
    ]
    assert made.secret not in repr([vars(row) for row in read(any_database)])


def test_pages_come_newest_first_and_by_what_is_wanted(any_database: Database) -> None:
    with any_database.write() as session:
        key = keys.create(session, "anna").row.id
        for number in range(5):
            audit.add(session, Deed("job.create", key_id=key, resource=f"job_{number}"))
    with any_database.read() as session:
        first, more = audit.page(session, None, 2, None, {"action": "job.create"})
        assert ([row.resource for row, _ in first], more) == (["job_4", "job_3"], True)
        assert {name for _, name in first} == {"anna"}
        rest, more = audit.page(session, first[-1][0].id, 9, None, {"action": "job.create"})
        assert ([row.resource for row, _ in rest], more) == (["job_2", "job_1", "job_0"], False)
        assert audit.page(session, None, 9, first[0][0].created_at + 1000, {}) == ([], False)


def test_what_is_refused_again_is_told_once_a_minute_with_how_often() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    assert [refusals.times(REFUSED) for _ in range(4)] == [1, 0, 0, 0]
    assert refusals.times(Deed("job.create", "refused", address="10.0.0.2", status=401, code="invalid_api_key")) == 1
    assert refusals.times(Deed("job.delete", "refused", address="10.0.0.1", status=401, code="invalid_api_key")) == 1
    now[0] = audit.TOLD_AGAIN_AFTER_S
    assert [refusals.times(REFUSED) for _ in range(2)] == [4, 0]


def test_a_crowd_of_addresses_fills_neither_memory_nor_disk() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    told = [
        refusals.times(Deed("request", "refused", address=f"2001:db8::{n:x}", status=401)) for n in range(MOST_TOLD * 3)
    ]
    assert sum(told) == MOST_TOLD + 1
    assert len(refusals._told) <= MOST_TOLD + 1
    now[0] = audit.TOLD_AGAIN_AFTER_S
    assert refusals.times(Deed("request", "refused", address="2001:db9::1", status=401)) == 1
    assert len(refusals._told) < 10


def test_threads_count_each_refusal_once() -> None:
    now = [0.0]
    refusals, told = Refusals(lambda: now[0]), []
    threads = [
        threading.Thread(target=lambda: told.extend(refusals.times(REFUSED) for _ in range(500))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    now[0] = audit.TOLD_AGAIN_AFTER_S
    assert (sum(told), refusals.times(REFUSED)) == (1, 2000)


def test_a_database_that_is_away_leaves_the_line_of_the_log(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def away() -> Iterator[None]:
        raise OperationalError("INSERT", {}, Exception("gone"))
        yield

    monkeypatch.setattr(database, "write", away)
    with capture_logs() as lines:
        audit.write(database, Deed("job.create", request_id="r1"))
    assert [(line["event"], line["request_id"]) for line in lines] == [("audit_not_written", "r1")]


def test_a_worker_forgets_what_is_older_than_it_is_kept(
    settings: Settings, any_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
    storage.prepare()
    for action in ("job.create", "job.delete"):
        audit.write(any_database, Deed(action))
    with any_database.write() as session:
        old = AuditRow.created_at - 86_400 * settings.audit_days - 60
        session.execute(update(AuditRow).where(AuditRow.action == "job.create").values(created_at=old))
    sweeper = Sweeper(settings, any_database, storage, nudger=None, is_busy=lambda: True)  # type: ignore[arg-type]
    sweeper.sweep()
    assert [row.action for row in read(any_database)] == ["job.delete"]
    with any_database.write() as session:
        session.execute(update(AuditRow).values(created_at=old))
    sweeper.sweep()  # it has looked a moment ago
    assert len(read(any_database)) == 1
