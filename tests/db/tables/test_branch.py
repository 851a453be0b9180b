"""The rows of branches on both databases: lines, lists without texts, and what a deletion takes along."""

from __future__ import annotations

import pytest
from sqlalchemy.exc import InvalidRequestError

from app.db.owned import Owner
from app.db.session import Database
from app.db.tables import branch
from app.db.tables.branch import BranchRow, Held


def row(id_: str, parent: BranchRow | None = None, at: int = 0, **changed: object) -> BranchRow:
    fields = dict(
        id=id_,
        tree=id_ if parent is None else parent.tree,
        parent_id=None if parent is None else parent.id,
        at=at,
        length=at + 2,
        model="m",
        opening="",
        excerpt="",
        sampling={"seed": 7},
        finish_reason="length",
        size_bytes=10,
        asked=None if parent else {"prompt": "a\0b"},
        tokens=[{"id": 1, "text": "\0"}],
    )
    return BranchRow(**(fields | changed))


def grown(database: Database) -> None:
    """Two trees: b1 with b3, which has b4, and b2 alone."""
    with database.write() as session:
        first, other = row("b1"), row("b2")
        session.add_all([first, other])
        session.flush()
        child = row("b3", first, at=1)
        session.add(child)
        session.flush()
        session.add(row("b4", child, at=2))


def test_trees_and_their_branches_are_listed_without_their_texts(any_database: Database) -> None:
    grown(any_database)
    with any_database.read() as session:
        assert [each.id for each in branch.trees(session, None, 9)] == ["b2", "b1"]
        assert [each.id for each in branch.trees(session, "b2", 9)] == ["b1"]
        assert [each.id for each in branch.of_tree(session, "b1", None, 9)] == ["b1", "b3", "b4"]
        assert [each.id for each in branch.of_tree(session, "b1", "b1", 1)] == ["b3"]
        assert branch.sizes(session, ["b1", "b2"]) == {"b1": 3, "b2": 1}
        assert branch.held(session) == Held(4, 40)
        assert branch.held(session, "b1") == Held(3, 30)
        found = branch.get(session, "b3")
        assert found is not None
        with pytest.raises(InvalidRequestError, match="tokens"):
            _ = found.tokens


def test_a_line_is_put_together_from_places_and_texts(any_database: Database) -> None:
    grown(any_database)
    with any_database.read() as session:
        assert branch.places(session, "b1") == {"b1": (None, 0), "b3": ("b1", 1), "b4": ("b3", 2)}
        texts = branch.texts(session, ["b1", "b3"])
        assert texts == {"b1": ({"prompt": "a\0b"}, [{"id": 1, "text": "\0"}]), "b3": (None, [{"id": 1, "text": "\0"}])}


def test_what_left_a_branch_goes_with_it(any_database: Database) -> None:
    grown(any_database)
    with any_database.write() as session:
        session.delete(branch.lock(session, "b3"))
    with any_database.read() as session:
        assert branch.held(session) == Held(2, 20)
        assert branch.get(session, "b4") is None


def test_a_key_sees_its_own_and_nobodys(any_database: Database) -> None:
    grown(any_database)
    with any_database.write() as session:
        mine = row("b5", branch.lock(session, "b1"), at=1, owner="me")
        session.add_all([row("b6", owner="me"), row("b7", owner="you"), mine])
    with any_database.of(Owner("me", sees_all=False)).read() as session:
        assert [each.id for each in branch.trees(session, None, 9)] == ["b6", "b2", "b1"]
        assert [each.id for each in branch.of_tree(session, "b1", None, 9)] == ["b1", "b3", "b4", "b5"]
        assert branch.sizes(session, ["b1", "b7"]) == {"b1": 4}
        assert branch.get(session, "b7") is None
        assert branch.held(session) == Held(7, 70)  # limits count everybody's
    with any_database.of(Owner("you", sees_all=False)).read() as session:
        assert [each.id for each in branch.of_tree(session, "b1", None, 9)] == ["b1", "b3", "b4"]
        assert branch.get(session, "b7") is not None
    with any_database.of(Owner("admin", sees_all=True)).read() as session:
        assert [each.id for each in branch.trees(session, None, 9)] == ["b7", "b6", "b2", "b1"]
