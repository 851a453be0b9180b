"""Models in memory: loading once, waiting, making room, and what happens when a file is bad."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Callable

import pytest
from sqlalchemy.exc import OperationalError

from app.config import Settings
from app.db.session import Database
from app.db.tables import model as model_table
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.model import ModelRow
from app.errors import DataMissing, ModelNotFound, NotReady
from app.llm.config import SamplingParams
from app.llm.engine.request import Request
from app.llm.errors import BadWeights
from app.llm.progress import Progress, Tell
from app.services import models as models_service
from app.services.loaded_model import LoadedModel
from app.services.model_files import Place
from app.services.models import Models
from app.services.runners import DeviceFull
from app.services.runtime import Runtime
from tests.fakes import END_OF_TEXT, IM_END, ScriptedModel, eventually, scripted_runtime
from tests.jobs_made import a_job

DEFAULT = "smollm2-135m-instruct"


class Reader:
    """Makes networks, and remembers of what."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.error: Exception | None = None

    def __call__(self, place: Place, tell: Tell) -> ScriptedModel:
        tell(Progress("reading weights", 3, 7))
        self.names.append(place.name)
        self.may_read.wait(5)
        if self.error is not None:
            raise self.error
        return ScriptedModel("x" * 300, pass_s=0.002)


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def make(settings: Settings, database: Database, reader: Reader):
    """Makes `Models` that know m1, m2 and m3 beside the default one."""
    made: list[Runtime] = []

    def make(**fields: object) -> Models:
        runtime = scripted_runtime(settings.model_copy(update=fields), database, reader)
        made.append(runtime)
        return runtime.models

    with database.write() as session:
        for number in (1, 2, 3):
            session.add(a_row(f"m{number}", created_at=float(number)))
            (settings.data_dir / "models" / f"m{number}").mkdir(parents=True)
    yield make
    reader.may_read.set()
    for runtime in made:
        runtime.models.close()


def a_row(name: str, **fields: object) -> ModelRow:
    config = ScriptedModel().config.to_dict()
    base = dict(family="gpt2", config=config, tokenizer="bytes", parameters=7, size_bytes=9, sha256="0")
    return ModelRow(name=name, base_model=DEFAULT, job_id=None, **base | fields)


def keep_busy(model: LoadedModel) -> Callable[[], None]:
    """Have the model write for long; call what comes back to end it."""
    request = Request("long", (1,), SamplingParams(300, temperature=0.0))

    async def submit() -> None:
        model.loop.submit([request])
        await asyncio.sleep(0.02)

    runner = asyncio.Runner()
    runner.run(submit())

    def end() -> None:
        model.loop.abort(["long"])
        runner.close()

    return end


def test_a_model_is_read_once_however_many_ask(make, reader):
    models, got = make(), []
    reader.may_read.clear()
    threads = [threading.Thread(target=lambda: got.append(models.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    eventually(lambda: reader.names == [DEFAULT])
    reader.may_read.set()
    for thread in threads:
        thread.join()
    assert len({id(model) for model in got}) == 1
    assert (len(got), reader.names) == (8, [DEFAULT])


def test_the_ids_that_end_a_text(make):
    assert make().get().stop_ids == {IM_END, END_OF_TEXT}


def test_who_waits_too_long_is_told_to_come_back(make, reader):
    models = make(model_wait_s=0.05)
    reader.may_read.clear()
    with pytest.raises(NotReady, match=r"still being loaded \(reading weights, 3 of 7\)") as refusal:
        models.get()
    assert refusal.value.retry_after_s >= 1
    with pytest.raises(NotReady, match="still being loaded"):
        asyncio.run(models.wait_for())
    assert models.state(DEFAULT) == "loading"
    assert models.progress(DEFAULT) == Progress("reading weights", 3, 7)
    assert models.default_problem == "is being loaded (reading weights, 3 of 7)"
    reader.may_read.set()
    eventually(lambda: models.default_problem is None)
    assert models.progress(DEFAULT) is None
    assert asyncio.run(models.wait_for()).name == DEFAULT
    assert reader.names == [DEFAULT]


def test_waiting_does_not_stop_the_event_loop(make, reader):
    models = make()
    reader.may_read.clear()

    async def scenario() -> float:
        waiting = asyncio.ensure_future(models.wait_for("m1"))
        await asyncio.sleep(0.05)
        started = time.monotonic()
        await asyncio.sleep(0)
        took = time.monotonic() - started
        reader.may_read.set()
        await waiting
        return took

    assert asyncio.run(scenario()) < 0.05


def test_the_least_recently_used_makes_room(make, reader):
    models = make(loaded_models=2)
    for name in ("m1", "m2", "m1", "m3"):
        models.get(name)
    states = {name: models.state(name) for name in ("m1", "m2", "m3")}
    assert states == {"m1": "loaded", "m2": "unloaded", "m3": "loaded"}
    models.get("m2")
    assert reader.names == ["m1", "m2", "m3", "m2"]


def test_looking_through_a_jobs_checkpoints_puts_no_model_out_of_memory(make, reader, database, settings):
    """Dragging along ten of them used to begin with the least recently used, which the default model is by then."""
    steps = range(10, 110, 10)
    with database.write() as session:
        a_job(session, id="job_7")
        for step in steps:
            (settings.data_dir / "jobs" / "job_7" / f"s{step}").mkdir(parents=True)
            about = dict(attempt=1, fence=1, path=f"s{step}", size_bytes=1, sha256=str(step), metrics={})
            session.add(CheckpointRow(id=f"job_7@{step}", job_id="job_7", step=step, **about))
    models = make(loaded_models=2)
    models.get(DEFAULT)
    held = weakref.WeakSet()
    for step in steps:
        held.add(models.get(f"job_7@{step}").loop)
    assert models.state(DEFAULT) == "loaded"
    assert set(models.loops()) == {DEFAULT, "job_7@100"}
    assert reader.names == [DEFAULT, *(f"job_7@{step}" for step in steps)]
    eventually(lambda: gc.collect() >= 0 and len(held) == 1)  # the other engines have ended; nobody holds them
    models.get("m1")  # a model makes room as ever: the default one was used longest ago
    assert set(models.loops()) == {"job_7@100", "m1"}


def test_a_model_at_work_does_not_make_room(make):
    models = make(loaded_models=2)
    end = keep_busy(models.get("m1"))
    models.get("m2")
    models.get("m3")  # m2 goes, though m1 was used longer ago
    assert (models.state("m1"), models.state("m2")) == ("loaded", "unloaded")
    end()


def test_idle_models_make_room_on_a_full_device(make, monkeypatch):
    """Nothing counts a device's memory: that it does not suffice shows when it is asked for."""
    on_device: weakref.WeakSet[ScriptedModel] = weakref.WeakSet()

    def read(reader: Reader, place: Place, tell: Tell) -> ScriptedModel:
        if len(on_device):
            raise DeviceFull("the GPU has no memory for the model", param="model")
        network = ScriptedModel("x" * 300, pass_s=0.002)
        on_device.add(network)
        return network

    monkeypatch.setattr(Reader, "__call__", read)
    models = make()
    keep_busy(models.get("m1"))()
    eventually(lambda: models.get("m1").loop.is_idle)
    end = keep_busy(models.get("m2"))
    assert models.state("m1") == "unloaded"
    with pytest.raises(DeviceFull) as refusal:
        models.get("m3")
    assert refusal.value.retry_after_s
    end()
    eventually(lambda: models.get("m2").loop.is_idle)
    del end  # holds the model
    assert models.get("m3").name == "m3"
    models.unload("m3")
    rest = ScriptedModel()
    on_device.add(rest)
    with pytest.raises(DeviceFull) as refusal:
        models.get("m1")
    assert refusal.value.retry_after_s is None


def test_all_places_at_work(make):
    models = make(loaded_models=1)
    end = keep_busy(models.get("m1"))
    with pytest.raises(NotReady, match="at work") as refusal:
        models.get("m2")
    assert refusal.value.retry_after_s
    end()
    eventually(lambda: models.get("m1").loop.is_idle)
    assert models.get("m2").name == "m2"


def test_none_goes_where_that_makes_no_room(make):
    """An idle model used to be let go, though what was at work left no room all the same."""
    models = make(loaded_models=2)
    ends = [keep_busy(models.get("m1")), keep_busy(models.get("m2"))]
    with pytest.raises(NotReady, match="INKLING_LOADED_MODELS"):
        models.get("m3")
    for end in ends:
        end()
    models = make(loaded_models=5, model_memory_bytes=60)  # a model of seven numbers takes 28
    end = keep_busy(models.get("m1"))
    models.get("m2")
    models._bytes["m1"] = 40
    with pytest.raises(NotReady, match="hold 40 of the 60 bytes"):
        models.get("m3")
    assert models.state("m2") == "loaded"
    end()


def test_weights_that_took_the_name_are_loaded_instead(make, reader, database, monkeypatch):
    """Another server on the same database may delete a model and import one of that name."""
    monkeypatch.setattr(models_service, "LOOK_AGAIN_S", 0.0)
    models = make()
    first = models.get("m1")
    assert models.get("m1") is first
    with database.write() as session:
        model_table.get(session, "m1").sha256 = "1"
    assert models.get("m1") is not first
    assert reader.names == ["m1", "m1"]
    with database.write() as session:
        session.delete(model_table.get(session, "m1"))
    with pytest.raises(ModelNotFound):
        models.get("m1")
    assert models.state("m1") == "unloaded"


def test_a_model_that_is_deleted_while_it_loads_ends_with_its_last_request(make, reader):
    models = make()
    reader.may_read.clear()

    async def scenario() -> LoadedModel:
        waiting = asyncio.ensure_future(models.wait_for())
        while reader.names != [DEFAULT]:
            await asyncio.sleep(0.005)
        models.forget(DEFAULT)
        reader.may_read.set()
        model = await waiting
        stream = model.loop.submit([Request("r", (1,), SamplingParams(2, temperature=0.0))])
        assert await stream.next()
        return model

    model = asyncio.run(scenario())
    eventually(lambda: model.loop._thread is None)
    assert model.loop.is_idle
    assert models.state(DEFAULT) == "unloaded"
    assert models.default_problem == "is being loaded"


def test_a_model_in_memory_is_used_though_the_database_is_away(make, monkeypatch):
    monkeypatch.setattr(models_service, "LOOK_AGAIN_S", 0.0)
    models = make()
    first = models.get("m1")
    away = Database("postgresql+psycopg://nobody@127.0.0.1:9/nothing")
    models._database = away
    assert models.get("m1") is first
    with pytest.raises(OperationalError):
        models.get("m2")
    away.dispose()


def test_a_model_that_made_room_still_writes_for_whoever_holds_it(make):
    models = make(loaded_models=1)
    first = models.get("m1")
    models.get("m2")

    async def write() -> None:
        stream = first.loop.submit([Request("r", (1,), SamplingParams(2, temperature=0.0))])
        assert await stream.next()

    asyncio.run(write())
    eventually(lambda: first.loop.is_idle)


def test_a_bad_file_is_told_and_tried_again(make, reader):
    models = make()
    reader.error = BadWeights("the file ends too soon")
    with pytest.raises(DataMissing, match="ends too soon"):
        models.get()
    assert "ends too soon" in models.default_problem
    reader.error = None
    assert models.get().name == DEFAULT
    assert models.default_problem is None
    assert reader.names == [DEFAULT, DEFAULT]


def test_a_tokenizer_that_does_not_fit_is_told(settings, database):
    network = ScriptedModel()
    network.config = ScriptedModel().config.__class__(
        vocab_size=300, context_length=8, emb_dim=4, n_heads=1, n_layers=1
    )
    models = scripted_runtime(settings, database, network).models
    with pytest.raises(DataMissing, match="300 tokens, but its tokenizer bytes 259"):
        models.get()


def test_preloading_never_raises(make, settings):
    models = make(default_model="nothing")
    models.preload("nothing")
    eventually(lambda: models.default_problem is not None and "no model 'nothing'" in models.default_problem)


def test_preloading_makes_ready(make):
    models = make()
    assert models.default_problem == "is being loaded"
    models.preload(DEFAULT)
    eventually(lambda: models.default_problem is None)


def test_a_dead_engine_is_replaced(settings, database):
    from app.llm.engine.engine import Engine

    def fail(number: int) -> None:
        raise OSError("broken")

    networks = iter([ScriptedModel(before_pass=fail), ScriptedModel("fine")])
    models = scripted_runtime(settings, database, lambda *_: next(networks)).models
    first = models.get()
    first.loop._engine.check_integrity = lambda: (_ for _ in ()).throw(AssertionError)
    assert isinstance(first.loop._engine, Engine)

    async def break_it() -> None:
        stream = first.loop.submit([Request("r", (1,), SamplingParams(2, temperature=0.0))])
        with pytest.raises(Exception, match="engine failed"):
            await stream.next()

    asyncio.run(break_it())
    eventually(lambda: first.loop.is_dead)
    eventually(lambda: models.get() is not first)
    eventually(lambda: models.default_problem is None)
    models.close()


def test_closing_waits_for_what_is_being_loaded(make, reader):
    reader.may_read.clear()
    models = make()
    before = set(threading.enumerate())  # of other tests
    models.preload(DEFAULT)
    eventually(lambda: bool(reader.names))
    threading.Timer(0.2, reader.may_read.set).start()
    models.close()
    assert reader.may_read.is_set()
    assert not [thread for thread in set(threading.enumerate()) - before if DEFAULT in thread.name]
