"""Keys: told once, kept as a hash, found again, revoked; one first key however many servers start."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db.session import Database
from app.errors import InvalidRequest, KeyNotFound, NameTaken
from app.services import keys
from app.services.keys import Keys


def made(database: Database, name: str = "ci", scopes: tuple[str, ...] = ("read",)) -> keys.Made:
    with database.write() as session:
        return keys.create(session, name, scopes)


def test_what_is_kept_is_no_secret(any_database: Database) -> None:
    key = made(any_database, scopes=("train", "read"))
    assert re.fullmatch(r"inkling_[0-9a-z]{8}_[A-Za-z0-9_-]{43}", key.secret)
    with any_database.read() as session:
        (row,) = keys.list_all(session)
    kept = {column.key: getattr(row, column.key) for column in row.__table__.columns}
    assert key.secret[17:] not in str(kept)
    assert kept["sha256"] == hashlib.sha256(key.secret.encode()).hexdigest()
    assert (row.prefix, row.scopes, row.last_used_at) == (key.secret[:16], ["read", "train"], None)


def test_a_key_is_found_and_its_use_noted(any_database: Database) -> None:
    key, known = made(any_database), Keys(any_database)
    assert known.recall(key.secret) is None
    caller = known.look_up(key.secret)
    assert caller is not None
    assert (caller.key_id, caller.may("read"), caller.may("train")) == (key.row.id, True, False)
    assert known.recall(key.secret) == caller
    with any_database.read() as session:
        first = keys.list_all(session)[0].last_used_at
    assert first is not None
    known.look_up(key.secret)
    with any_database.read() as session:
        assert keys.list_all(session)[0].last_used_at == first  # once a minute


def test_others_secrets_are_not_taken(any_database: Database) -> None:
    one, other = made(any_database, "one"), made(any_database, "other")
    known = Keys(any_database)
    assert known.look_up(one.secret[:17] + other.secret[17:]) is None
    for wrong in (
        "",
        "inkling_",
        one.secret[:-1],
        one.secret + "x",
        one.secret + "\n",
        "\ud800",
        "é" * 60,
        "k" * 100_000,
    ):
        assert known.look_up(wrong) is None
        assert known.recall(wrong) is None


@pytest.mark.parametrize("told", ["id", "name", "prefix"])
def test_a_revoked_key_is_no_key(any_database: Database, told: str) -> None:
    key = made(any_database)
    with any_database.write() as session:
        assert keys.revoke(session, getattr(key.row, told)).id == key.row.id
    assert Keys(any_database).look_up(key.secret) is None
    with any_database.read() as session:
        assert keys.list_all(session)[0].revoked_at is not None
    with any_database.write() as session, pytest.raises(KeyNotFound):
        keys.revoke(session, getattr(key.row, told))


def test_a_name_is_of_one_live_key(any_database: Database) -> None:
    made(any_database)
    with pytest.raises(NameTaken):
        made(any_database)
    with any_database.write() as session:
        keys.revoke(session, "ci")
    made(any_database)


@pytest.mark.parametrize(
    ("name", "scopes", "param"),
    [
        ("", ("read",), "name"),
        ("../x", ("read",), "name"),
        ("n" * 97, ("read",), "name"),
        ("ci", ("root",), "scopes"),
        ("ci", (), "scopes"),
    ],
)
def test_what_cannot_be_a_key(database: Database, name: str, scopes: tuple[str, ...], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made(database, name, scopes)
    assert refused.value.param == param


def test_an_admin_may_everything(any_database: Database) -> None:
    key = made(any_database, scopes=("admin",))
    caller = Keys(any_database).look_up(key.secret)
    assert caller is not None
    assert all(caller.may(scope) for scope in keys.SCOPES)


def test_servers_that_start_together_make_one_first_key(any_database: Database) -> None:
    def start(_: int) -> keys.Made | None:
        with any_database.write() as session:
            return keys.create_first(session)

    with ThreadPoolExecutor(4) as pool:
        first = [key for key in pool.map(start, range(4)) if key is not None]
    assert len(first) == 1
    assert first[0].row.scopes == ["admin"]


def test_what_is_remembered_is_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "REMEMBERED", 2)
    known, all_keys = Keys(database), [made(database, f"k{n}") for n in range(3)]
    for key in all_keys:
        known.look_up(key.secret)
    assert [known.recall(key.secret) is not None for key in all_keys] == [False, False, True]


def test_a_database_that_cannot_be_written_still_lets_in(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk must not lock everybody out."""
    key = made(database)
    monkeypatch.setattr(database, "write", database.read)  # which refuses to write
    assert Keys(database).look_up(key.secret) is not None
