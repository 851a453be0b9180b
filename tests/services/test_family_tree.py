"""A model among its kin: ancestors above it, what goes on from it below, gone or not."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy.orm import Session

from app.config import Settings
from app.db.session import Database
from app.db.tables import model as model_table
from app.services import family_tree
from app.services.family_tree import Kin, tree
from app.services.lineage import ancestors_of
from app.services.model_info import of_row
from app.services.storage import Storage
from tests.jobs_made import a_job, a_model


def add(session: Session, name: str, base: str | None = None, **fields: Any) -> None:
    """A model that was made from `base` after all that are there."""
    at = float(len(model_table.newest_first(session)))
    session.add(a_model(name, base_model=base, ancestors=ancestors_of(session, base), created_at=at, **fields))
    session.flush()


def tree_of(session: Session, settings: Settings, name: str) -> Kin:
    row = model_table.get(session, name)
    assert row is not None
    return tree(session, of_row(Storage(settings.data_dir, settings.data_dir), row))


def drawn(kin: Kin) -> dict[str, Any]:
    """Names alone, as they stand below each other."""
    return {kin.name: [drawn(child) for child in kin.children]}


def test_the_way_down_to_it_and_all_that_go_on_from_it(any_database: Database, settings: Settings) -> None:
    with any_database.write() as session:
        a_job(session, id="job_1", recipe="instruct")
        add(session, "root")
        add(session, "aside", "root")
        add(session, "middle", "root", job_id="job_1")
        add(session, "first", "middle")
        add(session, "second", "middle")
        add(session, "grandchild", "first")
        found = tree_of(session, settings, "middle")
        below = {"middle": [{"first": [{"grandchild": []}]}, {"second": []}]}
        assert drawn(found) == {"root": [below]}  # what stands beside it is told on the root's own page
        (middle,) = found.children
        assert (middle.job, middle.recipe, middle.is_there) == ("job_1", "instruct", True)
        assert (found.job, found.recipe) == (None, None)


def test_what_is_gone_still_stands_above(any_database: Database, settings: Settings) -> None:
    with any_database.write() as session:
        add(session, "root")
        add(session, "child", "root")
        root = model_table.get(session, "root")
        session.delete(root)
        session.flush()
        found = tree_of(session, settings, "child")
        assert (found.name, found.is_there, found.children[0].name) == ("root", False, "child")


def test_an_adapter_is_told_from_a_network(any_database: Database, settings: Settings) -> None:
    with any_database.write() as session:
        add(session, "root")
        add(session, "root:tides", "root", family="adapter")
        (child,) = tree_of(session, settings, "root").children
        assert child.is_adapter


def test_no_more_than_fit_a_page(any_database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(family_tree, "MOST", 2)
    with any_database.write() as session:
        add(session, "root")
        for name in ("one", "two", "three"):
            add(session, name, "root")
        assert [child.name for child in tree_of(session, settings, "root").children] == ["one", "two"]
