"""A claimed job from its row to a registered model, on a network small enough to train in a second."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from sqlalchemy import text
from sqlalchemy.orm import Session
from torch import Tensor

from app.config import Settings
from app.db.session import Database
from app.db.tables import checkpoint as checkpoint_table
from app.db.tables import event, metric
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.event import EventRow
from app.db.tables.job import JobRow
from app.db.tables.metric import MetricRow
from app.db.tables.model import ModelRow
from app.llm import checkpoint as checkpoint_files
from app.llm.checkpoint import ModelMeta, load_checkpoint, load_model, save_model
from app.llm.config import PRESETS, ModelConfig
from app.llm.errors import BadCheckpoint
from app.llm.model.adapter import Adapter
from app.llm.model.transformer import Transformer
from app.llm.tokenizer.word import WordTokenizer
from app.llm.train import pretrain as pretrain_recipe
from app.llm.train.ranks import ALONE
from app.services import compiling, job_control, leases, made_models, training
from app.services.leases import Loss
from app.services.runtime import Runtime
from app.services.tokenizer_making import Made, register
from tests.jobs_made import a_dataset, a_job

TEXT = "the cat sat on the mat , and the dog sat on the cat . " * 12
TRAIN = {
    "max_steps": 8,
    "batch_size": 2,
    "context_length": 8,
    "learning_rate": 0.01,
    "eval_every": 4,
    "sample_every": 4,
    "sample_prompt": "the cat",
    "sample_tokens": 3,
    "checkpoint_every": 2,
}


class House:
    """A runtime with a dataset and a word tokenizer, and jobs claimed as a worker would."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.database = runtime.database
        self.add_text("ds_1", TEXT)
        self.tokenizer = WordTokenizer.build(TEXT, version=2)
        with self.database.write() as session:
            register(session, runtime.storage, "words", Made.of(self.tokenizer, len(TEXT)), "ds_1")

    def add_text(self, dataset_id: str, text: str) -> None:
        self.runtime.storage.dataset(dataset_id).write_text(text)
        with self.database.write() as session:
            a_dataset(session, dataset_id, characters=len(text), sha256=str(hash(text)))

    def job(self, train: dict[str, Any] | None = None, **fields: Any) -> str:
        defaults = {"tokenizer": "words", "model": {"preset": "gpt-tiny", "drop_rate": 0.1}, "name": "a-model"}
        with self.database.write() as session:
            return a_job(session, **defaults | fields, train=TRAIN | (train or {})).id

    def claim(self) -> leases.Claim:
        claim = leases.claim(self.database, "w", 30)
        assert claim is not None
        return claim

    def run(self, should_stop: Callable[[], str | None] = lambda: None) -> leases.Claim:
        claim = self.claim()
        training.run(self.runtime, claim.job_id, claim.fence, should_stop=should_stop)
        return claim

    def row(self, job_id: str) -> JobRow:
        with self.database.read() as session:
            row = job_table.get(session, job_id)
        assert row is not None
        return row

    def metrics(self, job_id: str) -> list[MetricRow]:
        with self.database.read() as session:
            return metric.of_job(session, job_id, -1, 1000)

    def events(self, job_id: str, kind: str) -> list[EventRow]:
        with self.database.read() as session:
            return [row for row in event.of_job(session, job_id, 0, 1000) if row.type == kind]

    def checkpoints(self, job_id: str) -> list[CheckpointRow]:
        with self.database.read() as session:
            return checkpoint_table.of_job(session, job_id)

    def model(self, name: str = "a-model") -> ModelRow | None:
        with self.database.read() as session:
            return model_table.get(session, name)

    def weights(self, name: str = "a-model") -> dict[str, Tensor]:
        found = load_model(self.runtime.storage.model(name))[0]
        return dict(found.tensors if isinstance(found, Adapter) else found.named_parameters())

    def add_base(self, meta: ModelMeta) -> Transformer:
        """A registered Llama called `base`."""
        torch.manual_seed(3)
        network = Transformer(meta.config)
        saved = save_model(self.runtime.storage.model("base"), network, meta)
        row = ModelRow(
            name="base",
            family="llama",
            config=meta.config.to_dict(),
            tokenizer="words",
            parameters=1,
            size_bytes=1,
            sha256=saved.weights_sha256,
        )
        with self.database.write() as session:
            session.add(row)
        return network


def house_on(settings: Settings, database: Database) -> Iterator[House]:
    url = database.url.render_as_string(hide_password=False)
    runtime = Runtime.open(settings.model_copy(update={"database_url": url}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "matrix_product_peak", lambda device, precision: 1e11)  # a third of a second each time
        yield House(runtime)
    runtime.close()


@pytest.fixture
def house(settings: Settings, database: Database) -> Iterator[House]:
    yield from house_on(settings, database)


@pytest.fixture
def any_house(settings: Settings, any_database: Database) -> Iterator[House]:
    yield from house_on(settings, any_database)


def after(step: int, house: House, job_id: str, reason: str = "shutdown") -> Callable[[], str | None]:
    """A reason to stop once the trainer began its step after `step`; it is asked once a step at least."""
    asked = {"begun": 0}

    def should_stop() -> str | None:
        asked["begun"] += 1
        house_step = len(house.checkpoints(job_id)) and house.checkpoints(job_id)[0].step
        return reason if house_step >= step else None

    return should_stop


def equal(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """Weights that the job gives if nothing comes between."""
    from app.db.migrate import migrate

    folder = tmp_path_factory.mktemp("unbroken")
    settings = Settings(_env_file=None, data_dir=folder, database_url="", broker_url="")
    runtime = Runtime.open(settings)
    migrate(runtime.database)
    house = House(runtime)
    house.job()
    house.run()
    weights = house.weights()
    runtime.close()
    return weights


def test_a_job_becomes_a_model(any_house: House):
    house = any_house
    job_id = house.job()
    house.run()
    row, model = house.row(job_id), house.model()
    assert (row.status, row.step, row.total_steps, row.error) == ("succeeded", 8, 8, None)
    assert (row.result_model, row.result_checkpoint) == ("a-model", f"{job_id}@8")
    assert model is not None
    assert (model.family, model.tokenizer, model.base_model, model.job_id) == ("gpt2", "words", None, job_id)
    network, meta = load_model(house.runtime.storage.model("a-model"))
    assert meta.config.to_dict() == model.config
    assert meta.config.vocab_size == house.tokenizer.vocab_size
    assert (meta.tokenizer, meta.eos_id) == ("words", house.tokenizer.eos_id)
    assert model.parameters == network.parameter_count()

    measured = house.metrics(job_id)
    assert [entry.step for entry in measured] == list(range(9))
    assert measured[-1].loss < measured[1].loss
    assert [entry.step for entry in measured if entry.val_loss is not None] == [0, 2, 4, 6, 8]
    assert [entry.data["step"] for entry in house.events(job_id, "sample")] == [4, 8]
    assert all(entry.data["text"].startswith("the cat") for entry in house.events(job_id, "sample"))
    assert house.events(job_id, "status")[-1].data["status"] == "succeeded"


def test_the_checkpoints_kept_are_the_newest_and_the_best(house: House):
    job_id = house.job({"keep_checkpoints": 1, "learning_rate": 1e-9, "max_steps": 6})
    house.run()
    rows = house.checkpoints(job_id)
    losses = {entry.step: entry.val_loss for entry in house.metrics(job_id) if entry.val_loss and entry.step}
    best = min(losses, key=lambda step: (losses[step], -step))
    assert {row.step for row in rows} == {6, best}
    folder = house.runtime.storage.job(job_id)
    assert {path.name for path in folder.iterdir()} == {row.path for row in rows}
    for row in rows:
        _, _, state = load_checkpoint(folder / row.path, row.sha256)
        assert (state.report.step, state.report.val_loss) == (row.step, row.metrics["val_loss"])


def test_a_shutdown_saves_and_another_attempt_goes_on_bit_for_bit(any_house: House, unbroken):
    house = any_house
    job_id = house.job()
    for stop_after in (2, 6):
        house.run(after(stop_after, house, job_id))
        row = house.row(job_id)
        assert (row.status, row.step) == ("queued", stop_after)
        assert house.model() is None
    house.run()
    assert house.row(job_id).status == "succeeded"
    assert equal(house.weights(), unbroken)
    assert [entry.step for entry in house.metrics(job_id)] == list(range(9))


@pytest.mark.parametrize("nth", [5, 8, 12, 15])
def test_a_paused_job_goes_on_bit_for_bit(any_house: House, unbroken, nth):
    """Paused in the midst of two checkpoints: it saves one of its own, frees its slot, and goes on from that."""
    house = any_house
    job_id = house.job()
    asked: list[None] = []

    def pause() -> str | None:
        with house.database.write() as session:
            row = job_table.lock(session, job_id)
            assert row is not None
            row.pause_requested = len(asked) == nth
        asked.append(None)
        return "paused" if row.pause_requested else None

    house.run(pause)
    row = house.row(job_id)
    assert [entry.step for entry in house.checkpoints(job_id)][:1] != [8]
    assert (row.status, row.pause_requested, row.stalled_attempts) == ("paused", False, 0)
    assert leases.claim(house.database, "w", 30) is None
    torch.rand(7)
    with house.database.write() as session:
        job_control.resume(session, house.runtime, job_id)
    house.run()
    assert house.row(job_id).status == "succeeded"
    assert equal(house.weights(), unbroken)
    assert [entry.step for entry in house.metrics(job_id)] == list(range(9))


def test_a_shutdown_before_the_first_step_loses_nothing(house: House, unbroken):
    job_id = house.job()
    asked: list[None] = []
    house.run(lambda: asked.append(None) or ("shutdown" if len(asked) == 5 else None))
    assert house.row(job_id).status == "queued"
    house.run()
    assert equal(house.weights(), unbroken)


@pytest.mark.parametrize("damage", ["none", "truncated", "removed"])
def test_after_a_crash_the_newest_whole_checkpoint_is_taken(house: House, unbroken, damage):
    """The newest one is damaged, and a half-written one lies beside: neither is used, nor left."""
    job_id = house.job()

    def crash() -> None:
        if house.checkpoints(job_id) and house.checkpoints(job_id)[0].step >= 6:
            raise RuntimeError("as if killed")

    with pytest.raises(RuntimeError, match="as if killed"):
        house.run(crash)
    folder = house.runtime.storage.job(job_id)
    newest = folder / house.checkpoints(job_id)[0].path
    (folder / ".step-00000008-fence-1.abcd").mkdir()
    if damage == "truncated":
        weights = newest / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "removed":
        (newest / "trainer.json").unlink()
    leases.give_up(house.database, leases.Claim(job_id, 1, 1, 0.0), 3, Loss("killed", "a test"))

    house.run()
    assert house.row(job_id).status == "succeeded"
    assert equal(house.weights(), unbroken)
    warned = [entry for entry in house.events(job_id, "message") if entry.level == "warn"]
    assert len(warned) == (0 if damage == "none" else 1)
    assert {path.name for path in folder.iterdir()} == {row.path for row in house.checkpoints(job_id)}
    started = [entry.message for entry in house.events(job_id, "message") if "weights for 8 steps" in entry.message]
    assert started[-1].startswith(f"going on from step {6 if damage == 'none' else 4}")


def test_a_cancelled_job_leaves_no_model(house: House):
    job_id = house.job()
    house.run(after(4, house, job_id, "cancelled"))
    assert house.row(job_id).status == "cancelled"
    assert house.model() is None
    assert not house.runtime.storage.model("a-model").exists()
    assert house.checkpoints(job_id)[0].step == 4


def cancel(house: House, job_id: str, *, keep_model: bool) -> str:
    with house.database.write() as session:
        return job_control.cancel(session, house.runtime, job_id, keep_model=keep_model).status


@pytest.mark.parametrize("held", [True, False])
def test_a_cancelled_job_leaves_its_last_checkpoint_as_a_model(any_house: House, held: bool):
    """While it runs its trainer sees to it; one that is paused is taken by a trainer for that alone."""
    house = any_house
    job_id = house.job()

    def stop() -> str | None:
        if not (house.checkpoints(job_id) and house.checkpoints(job_id)[0].step >= 4):
            return None
        assert cancel(house, job_id, keep_model=True) == "running"
        return "cancelled"

    if not held:
        house.run(lambda: "paused" if pause_after(house, job_id, 4) else None)
        assert house.row(job_id).status == "paused"
        assert cancel(house, job_id, keep_model=True) == "queued"
        house.run(lambda: "cancelled")
    else:
        house.run(stop)
    row, model = house.row(job_id), house.model()
    assert model is not None
    assert (row.status, row.result_model, row.result_checkpoint) == (
        "cancelled",
        "a-model",
        house.checkpoints(job_id)[0].id,
    )
    assert (model.job_id, model.datasets[0]["dataset"], model.family) == (job_id, "ds_1", "gpt2")
    folder = house.runtime.storage.job(job_id)
    network, meta, _ = load_checkpoint(folder / house.checkpoints(job_id)[0].path)
    assert equal(house.weights(), dict(network.named_parameters()))
    assert model.parameters == network.parameter_count()
    assert meta.config.to_dict() == model.config
    assert {path.name for path in folder.iterdir()} == {each.path for each in house.checkpoints(job_id)}


def pause_after(house: House, job_id: str, step: int) -> bool:
    rows = house.checkpoints(job_id)
    is_due = bool(rows) and rows[0].step >= step
    with house.database.write() as session:
        row = job_table.lock(session, job_id)
        assert row is not None
        row.pause_requested = is_due
    return is_due


def test_a_holder_that_dies_leaves_the_model_for_the_next_to_make(house: House):
    job_id = house.job()
    house.run(after(4, house, job_id))
    claim = house.claim()
    cancel(house, job_id, keep_model=True)
    leases.give_up(house.database, claim, 3, Loss("killed", "a test"))
    assert (house.row(job_id).status, house.model()) == ("queued", None)
    with house.database.write() as session:
        job_table.lock(session, job_id).not_before = 0
    house.run(lambda: "cancelled")
    assert (house.row(job_id).status, house.row(job_id).result_model) == ("cancelled", "a-model")


@pytest.mark.parametrize("keep_model", [True, False])
def test_a_cancelled_job_without_a_checkpoint_leaves_no_model(house: House, keep_model: bool):
    job_id = house.job()
    house.claim()
    cancel(house, job_id, keep_model=keep_model)
    training.run(house.runtime, job_id, 1, should_stop=lambda: "cancelled")
    assert (house.row(job_id).status, house.row(job_id).result_model, house.model()) == ("cancelled", None, None)
    waiting = house.job()
    assert cancel(house, waiting, keep_model=keep_model) == "cancelled"


def test_a_job_cancelled_at_its_very_end_never_succeeds(house: House):
    """Cancel was answered with yes while the last checkpoint was being written."""
    job_id = house.job({"checkpoint_every": 100})

    def cancelled_meanwhile() -> None:
        if house.metrics(job_id) and house.metrics(job_id)[-1].step == 8:
            with house.database.write() as session:
                job_table.get(session, job_id).cancel_requested = True

    house.run(cancelled_meanwhile)
    assert house.row(job_id).status == "cancelled"
    assert house.model() is None
    assert not house.runtime.storage.model("a-model").exists()


def test_who_lost_the_job_writes_nothing_more(any_house: House):
    """The lease ran out and another worker took the job: the first one's model is not registered."""
    house = any_house
    job_id = house.job()
    stolen: list[int] = []

    def steal() -> None:
        if not stolen and house.checkpoints(job_id) and house.checkpoints(job_id)[0].step == 4:
            leases.give_up(house.database, leases.Claim(job_id, 1, 1, 0.0), 3, Loss("silent", "a test"))
            stolen.append(house.claim().fence)

    house.run(steal)
    row = house.row(job_id)
    assert (row.status, row.fence, stolen) == ("running", 2, [2])
    assert house.model() is None
    assert house.checkpoints(job_id)[0].step == 4
    training.run(house.runtime, job_id, 2, should_stop=lambda: None)
    assert house.row(job_id).status == "succeeded"


def test_a_model_is_continued_in_its_last_block(house: House):
    """Another's network: what generation needs and where it comes from go along; only the last block changes."""
    config = ModelConfig(**PRESETS["llama-tiny"], vocab_size=house.tokenizer.vocab_size)
    meta = ModelMeta(config, "words", eos_id=5, chat_template="{{ messages }}", licence="apache-2.0")
    house.add_base(meta)
    job_id = house.job({"trainable": "last_block"}, model={"name": "base"})
    house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    assert load_model(house.runtime.storage.model("a-model"))[1] == replace(meta, base_model="base")
    assert house.model().base_model == "base"
    before, now = house.weights("base"), house.weights()
    changed = {name for name in before if not torch.equal(before[name], now[name])}
    assert changed == {name for name in before if name.startswith(("blocks.1.", "final_norm."))}
    continued = house.job(model={"name": f"{job_id}@8"}, name="again")
    house.run()
    assert house.row(continued).status == "succeeded", house.row(continued).error


LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.2, "targets": ["query", "value", "down"]}


def test_an_adapter_learns_beside_its_base_and_goes_on_bit_for_bit(any_house: House):
    """Its checkpoints hold the adapter alone; stopped and begun again it ends where an unbroken run does."""
    house = any_house
    config = ModelConfig(**PRESETS["llama-tiny"], vocab_size=house.tokenizer.vocab_size)
    meta = ModelMeta(config, "words", eos_id=5, chat_template="{{ messages }}", licence="apache-2.0")
    network = house.add_base(meta)
    before = house.weights("base")
    job_id = house.job({"lora": LORA}, model={"name": "base"}, name="base:one", seed=7)
    house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    assert equal(house.weights("base"), before)
    learnt, row = house.weights("base:one"), house.model("base:one")
    count = sum(tensor.numel() for tensor in learnt.values())
    assert count == 2 * 2 * ((64 + 64) + (64 + 32) + (192 + 64))
    assert all(tensor.abs().max() > 0 for tensor in learnt.values())
    assert row is not None
    assert (row.family, row.base_model, row.parameters, row.licence) == ("adapter", "base", count, "apache-2.0")
    assert [link["name"] for link in row.ancestors] == ["base"]
    told = next(each for each in house.events(job_id, "message") if "training" in each.message)
    assert told.data["learning"] == count
    assert f"training {count:,} of {network.parameter_count() + count:,} weights" in told.message
    largest = max(each.size_bytes for each in house.checkpoints(job_id))
    assert largest < 12 * count + 40_000 < 4 * network.parameter_count()
    assert house.metrics(job_id)[-1].loss < house.metrics(job_id)[1].loss

    again = house.job({"lora": LORA}, model={"name": "base"}, name="base:two", seed=7)
    for stop_after in (2, 6):
        house.run(after(stop_after, house, again))
        assert house.row(again).status == "queued"
        torch.rand(7)
    house.run()
    assert house.row(again).status == "succeeded", house.row(again).error
    assert equal(house.weights("base:two"), learnt)


def test_an_adapter_whose_base_became_another_fails(house: House):
    config = ModelConfig(**PRESETS["llama-tiny"], vocab_size=house.tokenizer.vocab_size)
    meta = ModelMeta(config, "words")
    house.add_base(meta)
    job_id = house.job({"lora": LORA}, model={"name": "base"}, name="base:one")
    house.run(after(2, house, job_id))
    with house.database.write() as session:
        row = model_table.get(session, "base")
        assert row is not None
        row.sha256 = "0" * 64
    house.run()
    assert house.row(job_id).status == "failed"
    assert "other weights than those of base" in house.row(job_id).error["message"]


def test_another_text_is_measured_on_and_texts_are_mixed(house: House):
    house.add_text("ds_2", "a dog and a cat sat . " * 30)
    house.add_text("ds_3", "the mat , the mat . " * 10)
    job_id = house.job(
        {"max_steps": None, "epochs": 2},
        datasets=[{"dataset": "ds_1", "weight": 3.0}, {"dataset": "ds_2", "weight": 1.0}],
        validation={"dataset": "ds_3"},
    )
    house.run()
    row = house.row(job_id)
    assert row.status == "succeeded", row.error
    windows = sum(
        len(range(0, len(house.tokenizer.encode(text)) - 8, 8)) for text in (TEXT, "a dog and a cat sat . " * 30)
    )
    assert row.total_steps == 2 * (windows // 2)
    assert house.metrics(job_id)[-1].val_loss > 0


@pytest.mark.parametrize(
    ("fields", "code", "param", "message"),
    [
        (
            {"datasets": [{"dataset": "short", "weight": 1.0}]},
            "invalid_value",
            "dataset",
            "text.txt (short) is too short",
        ),
        (
            {"validation": {"fraction": 0.01}},
            "invalid_value",
            "validation",
            "(ds_1) is too short for validation",
        ),
        ({"datasets": [{"dataset": "gone", "weight": 1.0}]}, "dataset_not_found", "dataset", "'gone'"),
        ({"tokenizer": "gone"}, "tokenizer_not_found", "tokenizer", "'gone'"),
        ({"model": {"name": "gone"}}, "model_not_found", "model", "'gone'"),
        ({"tokenizer": "first"}, "unknown_word", "tokenizer", "'sat'"),
        ({"train": TRAIN | {"context_length": 65}}, "invalid_value", "train.context_length", "context of 64"),
        ({"train": TRAIN | {"sample_prompt": "  "}}, "invalid_value", "sample_prompt", "some text"),
        ({"model": {"preset": "gpt-tiny", "n_heads": 3}}, "invalid_value", "n_heads", "do not divide"),
        ({"model": {"name": "broken"}}, "unusable_data", None, "broken"),
        ({"model": {"name": "of-another-size"}}, "invalid_value", "model", "tokenizer"),
        ({"model": {"name": "infinite"}}, "training_diverged", "train.learning_rate", "at step 0 the validation loss"),
        (
            {"model": {"name": "infinite"}, "validation": {"fraction": 0}},
            "training_diverged",
            "train.learning_rate",
            "at step 1 the loss became nan",
        ),
    ],
)
def test_a_job_that_cannot_work_fails_with_what_to_change(house: House, fields, code, param, message):
    house.add_text("short", "the cat sat")
    with house.database.write() as session:
        first = WordTokenizer.build("the cat", version=1)
        register(session, house.runtime.storage, "first", Made.of(first, 7), "ds_1")
    for name, vocab_size in [("broken", 0), ("of-another-size", 5), ("infinite", 0)]:
        add_model(house, name, vocab_size or house.tokenizer.vocab_size)
    (house.runtime.storage.model("broken") / "model.json").unlink()
    train = fields.pop("train", TRAIN)
    job_id = house.job(**fields)
    with house.database.write() as session:
        job_table.get(session, job_id).train = train
    house.run()
    row = house.row(job_id)
    assert row.status == "failed"
    assert (row.error["code"], row.error["param"]) == (code, param)
    assert message in row.error["message"]
    assert house.model() is None


def add_model(house: House, name: str, vocab_size: int) -> None:
    config = ModelConfig(**PRESETS["gpt-tiny"], vocab_size=vocab_size)
    network = Transformer(config)
    if name == "infinite":
        torch.nn.init.constant_(network.final_norm.scale, float("inf"))
    save_model(house.runtime.storage.model(name), network, ModelMeta(config, "words"))
    shape = {"family": "gpt2", "config": config.to_dict(), "tokenizer": "words", "sha256": "0"}
    with house.database.write() as session:
        session.add(ModelRow(name=name, parameters=1, size_bytes=1, **shape))


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_that_diverges_tells_the_rows_of_its_batch(any_house: House, monkeypatch, accumulate):
    """The fourth batch of the run: at step 4, or the second one of step 2."""
    house, read = any_house, []
    whole = pretrain_recipe.next_token_loss

    def poisoned(hidden: Tensor, targets: Tensor, *rest: Any) -> Tensor:
        loss = whole(hidden, targets, *rest)
        if torch.is_grad_enabled():
            read.append(targets)
        return loss * float("nan") if len(read) == 4 and torch.is_grad_enabled() else loss

    monkeypatch.setattr(pretrain_recipe, "next_token_loss", poisoned)
    job_id = house.job({"accumulate": accumulate})
    house.run()
    row, step = house.row(job_id), 4 // accumulate
    assert (row.status, row.error["code"]) == ("failed", "training_diverged")
    assert row.error["message"].startswith(
        f"at step {step} the loss became nan; a lower learning rate may help. Its batch"
    )
    told = house.events(job_id, "message")[-1]
    assert (told.level, told.message) == ("error", row.error["message"])
    assert (told.data["step"], told.data["cause"], told.data["batches"]) == (step, "loss", [3])
    assert len(told.data["rows"]) == 2
    for found, targets in zip(told.data["rows"], read[3], strict=True):
        ids = house.tokenizer.encode(TEXT)[found["first_token"] + 1 : found["last_token"] + 1]
        assert (found["dataset"], ids) == ("ds_1", targets.tolist())
        assert found["excerpt"].startswith(
            house.tokenizer.decode(house.tokenizer.encode(TEXT)[found["first_token"] :][:3])
        )
    assert house.metrics(job_id)[-1].step == step - 1


def test_a_run_ends_early_and_its_best_checkpoint_is_kept(any_house: House):
    """Nothing is learnt at such a rate: evaluations at 2, 4 and 6 are no better than the one at 0."""
    train = {"learning_rate": 1e-9, "patience": 3, "min_improvement": 0.5, "keep_checkpoints": 1, "max_steps": 20}
    house = any_house
    job_id = house.job(train | {"eval_every": 2})
    house.run()
    row = house.row(job_id)
    assert (row.status, row.step, row.total_steps) == ("succeeded", 6, 20), row.error
    assert (row.result_model, row.result_checkpoint) == ("a-model", f"{job_id}@6")
    (told,) = [entry for entry in house.events(job_id, "message") if "stops early" in entry.message]
    assert (told.data["step"], told.data["best_step"], told.data["evaluations"]) == (6, 0, 3)
    losses = {entry.step: entry.val_loss for entry in house.metrics(job_id) if entry.val_loss and entry.step}
    best = min(losses, key=lambda step: (losses[step], -step))
    assert {entry.step for entry in house.checkpoints(job_id)} == {6, best}
    assert house.events(job_id, "message")[-1].message.startswith("read: ds_1")


def test_what_is_read_counts_every_batch_of_a_step(house: House):
    job_id = house.job({"accumulate": 3, "max_steps": 4})
    house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    assert house.metrics(job_id)[-1].tokens == 4 * 3 * 2 * 8
    assert house.events(job_id, "message")[-1].data["sources"][0]["tokens_read"] == 4 * 3 * 2 * 8


def test_a_step_tells_what_it_takes(house: House):
    job_id = house.job()
    house.run()
    first, *measured = house.metrics(job_id)
    assert (first.tokens_per_s, first.seconds_left, first.peak_share) == (None, None, None)
    assert all(entry.memory_bytes > 1 << 20 for entry in [first, *measured])
    for entry in measured:
        assert 0 < entry.peak_share < 1
        assert 0 < entry.data_share < 1
        assert 0 <= entry.report_share < 1
        assert entry.device_memory_bytes is None
    assert measured[-1].seconds_left == 0
    assert all(entry.seconds_left > 0 for entry in measured[:-1])
    started = house.events(job_id, "message")[0].data
    shares = [entry.peak_share * started["peak_flops"] / started["flops_per_token"] for entry in measured]
    assert shares == pytest.approx([entry.tokens_per_s for entry in measured])


def test_a_job_that_is_to_compile_fails_where_nothing_compiles(house: House, monkeypatch):
    monkeypatch.setattr(compiling, "compiler", lambda: None)
    job_id = house.job({"compile": True})
    house.run()
    assert (house.row(job_id).error["code"], house.row(job_id).error["param"]) == ("compiler_missing", "train.compile")


@pytest.mark.parametrize(
    ("emulates", "precision", "warned"), [(True, "bfloat16", 1), (True, "float32", 0), (False, "bfloat16", 0)]
)
def test_a_processor_that_emulates_bfloat16_is_told_of(house: House, monkeypatch, emulates, precision, warned):
    monkeypatch.setattr(training.train_devices, "lacks_bfloat16", lambda _device: emulates)
    job_id = house.job(train={"precision": precision, "max_steps": 1})
    house.run()
    told = [event for event in house.events(job_id, "message") if event.level == "warn"]
    assert [event.data["param"] for event in told] == ["train.precision"] * warned
    assert house.row(job_id).status == "succeeded"


def test_a_name_that_was_taken_meanwhile_fails_the_job(house: House):
    add_model(house, "a-model", house.tokenizer.vocab_size)
    before = house.weights()
    job_id = house.job()
    house.run()
    assert house.row(job_id).error["code"] == "name_taken"
    assert equal(house.weights(), before)


def test_a_device_that_is_not_here_is_told(house: House, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)  # whatever this machine has
    job_id = house.job(device="cuda")
    house.run()
    assert house.row(job_id).error["code"] == "device_unavailable"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no_disk_space"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "no_disk_space"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"), "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (OSError(errno.EIO, "Input/output error"), None),
        (RuntimeError("a bug"), None),
    ],
)
def test_only_what_would_come_again_fails_a_job(error, code):
    failure = training._failure(error)
    assert (failure and failure[0]) == code


FULL = "Error while serializing: I/O error: No space left on device (os error 28)"
"""What safetensors says on a disk that is really full."""


@pytest.mark.parametrize("nth", [1, 3])
def test_a_full_disk_pauses_a_job_which_then_goes_on_bit_for_bit(any_house: House, unbroken, monkeypatch, nth: int):
    """The weights of the first checkpoint, or the optimizer's of the second, do not fit."""
    house = any_house
    job_id = house.job()
    written: list[Path] = []
    save_file = checkpoint_files.save_file

    def fill_up(tensors: dict[str, Tensor], path: Path) -> None:
        written.append(path)
        if len(written) in (nth, nth + 1):
            path.write_bytes(b"half")
            raise SafetensorError(FULL)
        save_file(tensors, path)

    monkeypatch.setattr(checkpoint_files, "save_file", fill_up)
    house.run()
    row = house.row(job_id)
    assert (row.status, row.error["code"], row.stalled_attempts) == ("paused", "no_disk_space", 0)
    assert "make room and resume" in row.error["message"]
    saved = house.checkpoints(job_id)
    assert [each.step for each in saved] == ([2] if nth == 3 else [])
    folder = house.runtime.storage.job(job_id)
    left = {path.name for path in folder.iterdir()} if folder.exists() else set()
    assert left == {each.path for each in saved}
    for _ in range(2):  # it is still full the first time
        with house.database.write() as session:
            assert job_control.resume(session, house.runtime, job_id).error is None
        house.run()
    assert house.row(job_id).status == "succeeded", house.row(job_id).error
    assert equal(house.weights(), unbroken)
    assert [entry.step for entry in house.metrics(job_id)] == list(range(9))


def test_a_full_disk_does_not_keep_a_job_from_being_cancelled(house: House, monkeypatch):
    job_id = house.job()

    def fill_up(_tensors: dict[str, Tensor], _path: Path) -> None:
        cancel(house, job_id, keep_model=False)
        raise SafetensorError(FULL)

    monkeypatch.setattr(checkpoint_files, "save_file", fill_up)
    house.run()
    assert house.row(job_id).status == "cancelled"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), BadCheckpoint("it is damaged")])
def test_a_model_that_cannot_be_kept_now_is_not_forgotten(house: House, monkeypatch, error: Exception):
    """A full disk lays the job aside until there is room; with any other reason it is cancelled, and says so."""
    job_id = house.job()
    house.run(after(4, house, job_id))
    assert cancel(house, job_id, keep_model=True) == "queued"

    def refuse(*_arguments: object) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(made_models, "copy_model", refuse)
        house.run(lambda: "cancelled")
    row = house.row(job_id)
    assert row.error is not None
    if isinstance(error, OSError):
        assert (row.status, row.error["code"]) == ("paused", "no_disk_space")
        with house.database.write() as session:
            job_control.resume(session, house.runtime, job_id)
        house.run(lambda: "cancelled")
        assert house.row(job_id).result_model == "a-model"
    else:
        assert (row.status, row.error["code"]) == ("cancelled", "unusable_data")
    assert house.row(job_id).status == "cancelled"


def test_a_database_without_room_pauses_the_job(house: House, monkeypatch):
    """Where it lies on the same disk as the checkpoints, a row is as likely the first that does not fit."""
    job_id = house.job()
    add_event, failed = event.add, []

    def fill_up(session: Session, job_id: str, type: str, *told: Any, **more: Any) -> None:
        add_event(session, job_id, type, *told, **more)
        if type == "metrics" and not failed:
            failed.append(type)
            session.flush()
            pages = session.scalar(text("PRAGMA page_count"))
            session.execute(text(f"PRAGMA max_page_count = {pages}"))
            for _ in range(1000):
                add_event(session, job_id, type, "x" * 10_000, data={})
                session.flush()

    monkeypatch.setattr(event, "add", fill_up)
    house.run()
    row = house.row(job_id)
    assert (row.status, row.error and row.error["code"], failed) == ("paused", "no_disk_space", ["metrics"])


def test_many_steps_are_recorded_thinly(house: House, tmp_path: Path):
    """Of a run of a hundred thousand steps about 5,000 are kept; those with a validation loss always."""
    from app.llm.train.loop import Report

    job_id = house.job()
    claim = house.claim()
    progress = training.Progress(house.database, job_id, claim.fence)
    attempt = training._Attempt(house.runtime, progress, lambda: None, ALONE)
    for step in range(200):
        attempt.on_report(Report(step=step, total_steps=100_000, loss=1.0, val_loss=2.0 if step == 33 else None))
    progress.flush()
    assert [entry.step for entry in house.metrics(job_id)] == sorted([*range(0, 200, 20), 33])
