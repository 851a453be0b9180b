"""Sessions that were signed out of: noted once, on both databases, until they would have ended by themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import select, update

from app.db.session import Database
from app.db.tables.ended_session import EndedSessionRow
from app.services.ended_sessions import EndedSessions
from app.services.keys import REMEMBERED


def noted(database: Database) -> list[str]:
    with database.read() as session:
        return sorted(session.scalars(select(EndedSessionRow.id)))


def test_what_was_signed_out_of_is_over(any_database: Database) -> None:
    ours = EndedSessions(any_database)
    assert ours.goes_on("one")
    assert ours.is_known_to_go_on("one")
    ours.end("one")
    assert not ours.is_known_to_go_on("one")
    assert not ours.goes_on("one")
    assert not EndedSessions(any_database).goes_on("one")
    assert EndedSessions(any_database).goes_on("two")


def test_signing_out_twice_at_once_is_signing_out(any_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: EndedSessions(any_database).end("one"), range(8)))
    assert noted(any_database) == ["one"]


def test_what_has_ended_by_itself_is_forgotten(any_database: Database) -> None:
    ours = EndedSessions(any_database)
    ours.end("one")
    with any_database.write() as session:
        session.execute(update(EndedSessionRow).values(until=0.0))
    ours.end("two")
    assert noted(any_database) == ["two"]


def test_no_more_are_remembered_than_keys(database: Database) -> None:
    ours = EndedSessions(database)
    for number in range(REMEMBERED + 1):
        assert ours.goes_on(str(number))
    assert len(ours._going_on) == 1
