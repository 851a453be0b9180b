"""Where a model comes from: written down once, and still known when the rest is gone."""

from __future__ import annotations

from app.db.session import Database
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.dataset import DatasetRow
from app.db.tables.model import ModelRow
from app.services.lineage import ancestors_of, datasets_of
from app.services.model_files import BUILT_IN
from tests.jobs_made import a_job

SHIPPED = "smollm2-135m-instruct"


def a_dataset(name: str) -> DatasetRow:
    fields = dict(kind="text", format="txt", source="upload", size_bytes=1, characters=1, report={})
    return DatasetRow(id=name, name=f"{name}.txt", sha256=name * 8, **fields)


def a_row(name: str, **fields: object) -> ModelRow:
    shape = dict(family="gpt2", config={}, tokenizer="gpt2", parameters=1, size_bytes=1, sha256=f"hash of {name}")
    return ModelRow(name=name, **shape | dict(base_model=None, job_id=None) | fields)


def test_datasets_with_their_hashes(any_database: Database) -> None:
    with any_database.write() as session:
        session.add(a_dataset("one"))
        job = a_job(session, datasets=[{"dataset": "one", "weight": 2.0}, {"dataset": "gone", "weight": 1.0}])
        assert datasets_of(session, job) == [
            {"dataset": "one", "name": "one.txt", "sha256": "one" * 8, "weight": 2.0},
            {"dataset": "gone", "name": None, "sha256": None, "weight": 1.0},
        ]


def test_a_chain_from_the_nearest_to_the_first(any_database: Database) -> None:
    with any_database.write() as session:
        assert ancestors_of(session, None) == []
        (shipped,) = ancestors_of(session, SHIPPED)
        assert (shipped["name"], shipped["source"], shipped["licence"]) == (SHIPPED, "builtin", "apache-2.0")
        assert shipped["sha256"] == BUILT_IN[SHIPPED].sha256
        session.add(a_row("first", source="import", origin={"kind": "folder"}))
        session.add(a_row("second", ancestors=ancestors_of(session, SHIPPED), licence="mit"))
        session.flush()
        first, *none = ancestors_of(session, "first")
        assert (first["origin"], first["sha256"], none) == ({"kind": "folder"}, "hash of first", [])
        assert [link["name"] for link in ancestors_of(session, "second")] == ["second", SHIPPED]


def test_a_checkpoint_leads_to_what_its_job_went_on_from(any_database: Database) -> None:
    with any_database.write() as session:
        session.add_all([a_dataset("one"), a_row("base")])
        a_job(session, id="job_1", model={"name": "base"}, datasets=[{"dataset": "one", "weight": 1.0}])
        session.add(
            CheckpointRow(id="job_1@7", job_id="job_1", step=7, attempt=1, fence=1, path="x", size_bytes=1, sha256="0",
                          metrics={})
        )  # fmt: skip
        session.flush()
        checkpoint, base = ancestors_of(session, "job_1@7")
        assert (checkpoint["source"], checkpoint["job"]) == ("checkpoint", "job_1")
        assert checkpoint["datasets"][0]["sha256"] == "one" * 8
        assert (base["name"], base["source"]) == ("base", "job")


def test_what_is_gone_is_said_to_be_gone(any_database: Database) -> None:
    with any_database.write() as session:
        assert [link["source"] for link in ancestors_of(session, "nothing")] == ["gone"]
        a_job(session, id="job_1", model={"name": "job_1@5"})  # a circle ends, too
        assert len(ancestors_of(session, "job_1@5")) == 64
