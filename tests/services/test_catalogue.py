"""What models there are: the list, one of them, and a job's checkpoint told as a model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import Settings
from app.db.session import Database
from app.db.tables.checkpoint import CheckpointRow
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound
from app.llm import checkpoint
from app.llm.checkpoint import ModelMeta
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.services.runtime import Runtime
from tests.fakes import ScriptedModel, scripted_runtime
from tests.jobs_made import a_job
from tests.services.test_models import DEFAULT, a_row

SMALL = ModelConfig(vocab_size=259, context_length=8, emb_dim=8, n_heads=2, n_layers=1)


@pytest.fixture
def make(settings: Settings, database: Database):
    """Makes a runtime that knows m1, m2 and m3 beside the default model."""
    made: list[Runtime] = []

    def make(**fields: object) -> Runtime:
        made.append(scripted_runtime(settings.model_copy(update=fields), database, lambda *_: ScriptedModel("x")))
        return made[-1]

    with database.write() as session:
        for number in (1, 2, 3):
            session.add(a_row(f"m{number}", created_at=float(number)))
            (settings.data_dir / "models" / f"m{number}").mkdir(parents=True)
    yield make
    for runtime in made:
        runtime.models.close()


@pytest.fixture
def folder(settings: Settings, database: Database) -> Path:
    """Of the checkpoint job_1@5; the job goes on from m2."""
    place = settings.data_dir / "jobs" / "job_1" / "step-5"
    saved = checkpoint.save_model(place, Transformer(SMALL), ModelMeta(SMALL, "bytes", None, "a template", None, None))
    with database.write() as session:
        a_job(session, id="job_1", model={"name": "m2"})
        row = CheckpointRow(id="job_1@5", job_id="job_1", step=5, attempt=1, fence=1, path="step-5", metrics={})
        row.size_bytes, row.sha256 = saved.size_bytes, saved.sha256
        session.add(row)
    return place


Make = Callable[..., Runtime]


def test_the_list_begins_with_the_default_model(make: Make, database: Database) -> None:
    with database.read() as session:
        infos, has_more = make().catalogue.page(session, None, 100)
        assert [info.name for info in infos] == [DEFAULT, "m3", "m2", "m1"]
        assert not has_more
        infos, _ = make(default_model="m2").catalogue.page(session, None, 100)
        assert [info.name for info in infos] == ["m2", DEFAULT, "m3", "m1"]


def test_the_list_in_pages(make: Make, database: Database) -> None:
    catalogue = make().catalogue
    with database.read() as session:
        infos, has_more = catalogue.page(session, DEFAULT, 2)
        assert ([info.name for info in infos], has_more) == (["m3", "m2"], True)
        infos, has_more = catalogue.page(session, "m2", 2)
        assert ([info.name for info in infos], has_more) == (["m1"], False)
        with pytest.raises(ModelNotFound):
            catalogue.page(session, "nothing", 2)


def test_what_is_told_of_a_model(make: Make, database: Database) -> None:
    runtime = make()
    with database.read() as session:
        info = runtime.catalogue.info(session, "m1")
        assert (info.parameters, info.tokenizer, info.base_model, info.source) == (7, "bytes", DEFAULT, "job")
        assert (info.state, info.available, info.created_at) == ("unloaded", True, 1)
        assert info.held_bytes == 0
        runtime.models.get("m1")
        info = runtime.catalogue.info(session, "m1")
        assert (info.state, info.held_bytes) == ("loaded", 28)
        with pytest.raises(ModelNotFound):
            runtime.catalogue.info(session, "nothing")


def test_what_is_told_of_a_checkpoint(make: Make, database: Database, folder: Path) -> None:
    runtime = make()
    with database.read() as session:
        info = runtime.catalogue.info(session, "job_1@5")
        assert (info.name, info.source, info.job, info.base_model) == ("job_1@5", "checkpoint", "job_1", "m2")
        assert (info.config, info.tokenizer, info.chat) == (SMALL, "bytes", True)
        assert info.parameters == Transformer(SMALL).parameter_count()
        assert info.size_bytes == (folder / "model.safetensors").stat().st_size
        assert [link["name"] for link in info.ancestors] == ["m2"]
        runtime.models.get("job_1@5")
        assert runtime.catalogue.info(session, "job_1@5").state == "loaded"
        for name in ("job_1@6", "job_2@5", "job_1@", "@5", "job_1@5@5", "../x@5"):
            with pytest.raises(CheckpointNotFound):
                runtime.catalogue.info(session, name)


def test_a_checkpoint_whose_folder_is_damaged_or_gone(make: Make, database: Database, folder: Path) -> None:
    runtime = make()
    with database.read() as session:
        (folder / "model.json").write_text("{}")
        with pytest.raises(DataMissing, match="job_1@5 is damaged"):
            runtime.catalogue.info(session, "job_1@5")
        shutil.rmtree(folder)
        with pytest.raises(DataMissing):
            runtime.catalogue.info(session, "job_1@5")
