"""Models into memory and out of it within a budget, and deleted: what stands in the way is told."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy.orm import Session

from app.config import Settings
from app.db.session import Database
from app.db.tables import model as model_table
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.tokenizer import TokenizerRow
from app.errors import CheckpointNotFound, Conflict, ModelNotFound, NotReady, TooLarge
from app.llm.config import PRESETS, ModelConfig
from app.llm.model.shapes import FLOAT_BYTES
from app.llm.model.transformer import Transformer
from app.llm.progress import Tell
from app.services import memory, registry
from app.services.model_files import Place
from app.services.models import Models
from app.services.runtime import Runtime
from app.services.tokenizers import IMPORTED
from tests.fakes import ByteTokenizer, ScriptedModel, scripted_runtime
from tests.jobs_made import a_job
from tests.services.test_models import DEFAULT, a_row, keep_busy

SHIPPED_BYTES = 134_515_008 * FLOAT_BYTES


@pytest.fixture
def make(settings: Settings, database: Database):
    """Makes a runtime that knows m1, m2 and m3, of a million parameters each, beside the default model."""
    made: list[Runtime] = []

    def make(**fields: object) -> Runtime:
        chosen = settings.model_copy(update=fields)
        made.append(scripted_runtime(chosen, database, lambda *_: ScriptedModel("x" * 300, pass_s=0.002)))
        return made[-1]

    with database.write() as session:
        for number in (1, 2, 3):
            session.add(a_row(f"m{number}", created_at=float(number), parameters=1_000_000))
            (settings.data_dir / "models" / f"m{number}").mkdir(parents=True)
    yield make
    for runtime in made:
        runtime.models.close()


def states(models: Models) -> dict[str, str]:
    return {name: models.state(name) for name in ("m1", "m2", "m3")}


def test_load_and_unload(make, database) -> None:
    runtime = make()
    assert asyncio.run(registry.load(runtime, "m1")).state == "loaded"
    assert registry.unload(runtime, "m1").state == "unloaded"
    assert registry.unload(runtime, "m1").state == "unloaded"
    for name, refusal in (("nothing", ModelNotFound), ("job_1@5", CheckpointNotFound), ("../x", ModelNotFound)):
        with pytest.raises(refusal):
            asyncio.run(registry.load(runtime, name))
        with pytest.raises(refusal):
            registry.unload(runtime, name)


def test_idle_models_make_room_within_the_budget(make, database) -> None:
    runtime = make(loaded_models=10, model_memory_bytes=2 * 1_000_000 * FLOAT_BYTES)
    for name in ("m1", "m2"):
        runtime.models.get(name)
    assert states(runtime.models) == {"m1": "loaded", "m2": "loaded", "m3": "unloaded"}
    runtime.models.get("m1")  # m2 is now the one that was used least recently
    runtime.models.get("m3")
    assert states(runtime.models) == {"m1": "loaded", "m2": "unloaded", "m3": "loaded"}
    with pytest.raises(TooLarge, match=f"{SHIPPED_BYTES:,} bytes of weights, more than the 8,000,000"):
        runtime.models.get(DEFAULT)
    assert states(runtime.models)["m1"] == "loaded"  # and nothing had to go for it


def test_what_is_at_work_is_not_moved(make, database) -> None:
    runtime = make(loaded_models=10, model_memory_bytes=1_000_000 * FLOAT_BYTES)
    end = keep_busy(runtime.models.get("m1"))
    try:
        with pytest.raises(NotReady):
            runtime.models.get("m2")
        with pytest.raises(Conflict, match="at work"):
            registry.unload(runtime, "m1")
        with pytest.raises(Conflict, match="at work"), database.write() as session:
            registry.delete(session, runtime, "m1")
    finally:
        end()
    registry.unload(runtime, "m1")
    assert runtime.models.get("m2").name == "m2"


@pytest.fixture
def packed(settings: Settings, database: Database, make):
    """Makes a runtime whose models are served from packed weights: 4 bytes a parameter only while they are read."""
    made: list[Runtime] = []

    def read(place: Place, tell: Tell) -> Transformer:
        return Transformer(ModelConfig(vocab_size=ByteTokenizer.vocab_size, **PRESETS["gpt-tiny"])).eval()

    def make_packed(megabytes: int) -> Runtime:
        chosen = settings.model_copy(update={"loaded_models": 10, "model_memory_bytes": megabytes * 1_000_000})
        made.append(scripted_runtime(chosen, database, read))
        return made[-1]

    yield make_packed
    for runtime in made:
        runtime.models.close()


def read_back(models: Models, name: str) -> None:
    with models.get(name).network.lent() as network:
        assert network.config.vocab_size == ByteTokenizer.vocab_size


def test_packed_weights_take_what_they_take_and_what_is_read_again_comes_on_top(packed) -> None:
    models = packed(5).models  # room for one that is being loaded, 4 MB, beside a packed one
    assert models.held_bytes("m1") == 0
    for name in ("m1", "m2", "m3"):
        models.get(name)
    assert set(states(models).values()) == {"loaded"}
    size = models.held_bytes("m1")
    assert 0 < size < 500_000
    assert size == models.get("m1").weight_bytes
    read_back(models, "m1")
    assert models.held_bytes("m1") == size + 4_000_000
    read_back(models, "m2")  # what was read of m1 and is not used goes first, and no model has to
    assert (models.held_bytes("m1"), models.held_bytes("m2")) == (size, size + 4_000_000)
    assert set(states(models).values()) == {"loaded"}


def test_what_is_read_again_has_idle_models_make_room(packed) -> None:
    models = packed(4).models
    first = models.get("m1")
    models.get("m2")
    assert states(models)["m1"] == "unloaded"  # loading takes all of the four
    read_back(models, "m2")
    with first.network.lent():  # let go of a while ago, and no longer counted
        assert (models.held_bytes("m1"), states(models)["m2"]) == (0, "loaded")


def test_a_model_whose_network_is_in_use_is_at_work(packed) -> None:
    runtime = packed(5)
    models = runtime.models
    models.get("m1")
    models.get("m2")
    with models.get("m1").network.lent():
        with pytest.raises(Conflict, match="at work"):
            models.unload("m1")
        with pytest.raises(NotReady, match="5,000,000 bytes"), models.get("m2").network.lent():
            pass
        with pytest.raises(NotReady):
            models.get("m3")
        models.forget("m1")  # deleted: who has it keeps it
        assert models.held_bytes("m1") == 0
        models.get("m3")
    models.unload("m2")
    assert states(models) == {"m1": "unloaded", "m2": "unloaded", "m3": "loaded"}


def test_the_default_budget_is_a_part_of_the_machines_memory(make) -> None:
    assert 1 << 28 < memory.default_budget() < 1 << 50


def test_a_deleted_model_is_gone_with_its_files(make, database, settings) -> None:
    runtime = make()
    runtime.models.get("m1")
    with database.write() as session:
        registry.delete(session, runtime, "m1")
    assert not (settings.data_dir / "models" / "m1").exists()
    with database.read() as session:
        assert model_table.get(session, "m1") is None
        with pytest.raises(ModelNotFound):
            runtime.catalogue.info(session, "m1")
    with pytest.raises(ModelNotFound):
        runtime.models.get("m1")
    with pytest.raises(ModelNotFound), database.write() as session:
        registry.delete(session, runtime, "m1")


@pytest.mark.parametrize("has_checkpoint", [True, False])
def test_a_tokenizer_that_came_with_a_model_stays_while_a_checkpoint_needs_it(make, database, has_checkpoint) -> None:
    """It used to go with its model, and a job that had gone on from the model lost its checkpoints."""
    runtime = make()
    with database.write() as session:
        own = TokenizerRow(name="own", kind=IMPORTED, vocab_size=3, special_tokens=[], sha256="0" * 64)
        session.add(own)
        model_table.get(session, "m1").tokenizer = "own"
        a_job(session, id="job_1", tokenizer="own", status="failed")
        if has_checkpoint:
            fields = dict(step=5, attempt=1, fence=1, path="step-5", size_bytes=1, sha256="0" * 64, metrics={})
            session.add(CheckpointRow(id="job_1@5", job_id="job_1", **fields))
    with database.write() as session:
        registry.delete(session, runtime, "m1")
    with database.read() as session:
        assert (session.get(TokenizerRow, "own") is not None) is has_checkpoint
    assert list(runtime.storage.scratch.glob("deleted*")) == []


def test_a_deletion_that_is_rolled_back_leaves_the_files(make, database, settings) -> None:
    runtime = make()

    def delete_and_break(session: Session) -> None:
        registry.delete(session, runtime, "m1")
        raise RuntimeError("something else broke")

    with pytest.raises(RuntimeError), database.write() as session:
        delete_and_break(session)
    assert (settings.data_dir / "models" / "m1").exists()
    assert runtime.models.get("m1").name == "m1"


@pytest.mark.parametrize(
    "fields", [{"model": {"name": "m1"}}, {"name": "m1"}, {"model": {"name": "m1"}, "status": "running"}]
)
def test_a_model_that_a_live_job_needs_stays(make, database, fields) -> None:
    runtime = make()
    with database.write() as session:
        a_job(session, id="job_1", **fields)
    with pytest.raises(Conflict, match="job_1") as refusal, database.write() as session:
        registry.delete(session, runtime, "m1")
    assert refusal.value.param == "name"


def test_a_job_that_ended_does_not_hold_it(make, database) -> None:
    runtime = make()
    with database.write() as session:
        a_job(session, model={"name": "m1"}, status="succeeded")
    with database.write() as session:
        registry.delete(session, runtime, "m1")


def test_what_ships_and_the_default_model_stay(make, database) -> None:
    runtime = make(default_model="m2")
    for name in (DEFAULT, "m2"):
        with pytest.raises(Conflict), database.write() as session:
            registry.delete(session, runtime, name)
