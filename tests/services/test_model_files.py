"""Where the weights of a name lie, and what is said when they do not."""

from pathlib import Path

import pytest
import torch

from app.db.session import Database
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.model import ModelRow
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound
from app.llm import checkpoint
from app.llm.checkpoint import ModelMeta
from app.llm.config import ModelConfig
from app.llm.errors import BadCheckpoint
from app.llm.model.transformer import Transformer
from app.services import model_files
from app.services.storage import Storage
from tests.jobs_made import a_job

CONFIG = ModelConfig(vocab_size=259, context_length=32, emb_dim=8, n_heads=2, n_layers=1)
META = ModelMeta(CONFIG, tokenizer="bytes", eos_id=257)


@pytest.fixture
def storage(settings) -> Storage:
    made = Storage(settings.data_dir, settings.data_dir / "assets")
    made.prepare()
    made.assets_dir.mkdir()
    return made


def a_model_row(name: str) -> ModelRow:
    fields = dict(family="gpt2", config=CONFIG.to_dict(), tokenizer="bytes", parameters=1, size_bytes=1, sha256="0")
    return ModelRow(name=name, base_model=None, job_id=None, **fields)


def find(database: Database, storage: Storage, name: str) -> model_files.Place:
    with database.read() as session:
        return model_files.find(session, storage, name)


@pytest.mark.parametrize("name", ["nothing", "", "../etc/passwd", "a" * 500, "x\0y", "😀"])
def test_an_unknown_model(database, storage, name):
    with pytest.raises(ModelNotFound) as refusal:
        find(database, storage, name)
    assert refusal.value.param == "model"
    assert len(refusal.value.message) < 400


@pytest.mark.parametrize(
    "name", ["job_1@1", "job_1@", "@5", "@", "job_1@-1", "job_1@1e9", "job_1@٣", "job_1@" + "9" * 99]
)
def test_an_unknown_checkpoint(database, storage, name):
    with pytest.raises(CheckpointNotFound):
        find(database, storage, name)


def test_the_model_that_ships_without_its_file(database, storage):
    with pytest.raises(DataMissing, match="make assets"):
        find(database, storage, "smollm2-135m-instruct")


def test_a_registered_model_without_its_folder(database, storage):
    with database.write() as session:
        session.add(a_model_row("mine"))
    with pytest.raises(DataMissing, match="removed"):
        find(database, storage, "mine")


def test_a_registered_model_is_read_back(database, storage):
    torch.manual_seed(0)
    network = Transformer(CONFIG)
    checkpoint.save_model(storage.model("mine"), network, META)
    with database.write() as session:
        session.add(a_model_row("mine"))
    place = find(database, storage, "mine")
    weights = model_files.read(place)
    ids = torch.arange(8)[None]
    torch.testing.assert_close(weights.network(ids), network.eval()(ids))
    assert (weights.config, weights.tokenizer, weights.eos_id, weights.chat_template) == (CONFIG, "bytes", 257, None)
    assert not any(parameter.requires_grad for parameter in weights.network.parameters())
    assert weights.is_mapped
    assert not model_files.has_chat_template(place.path)


def test_a_checkpoint_by_job_and_step(database, storage):
    folder = storage.checkpoint("job_1", "step-00000007-fence-2")
    checkpoint.save_model(folder, Transformer(CONFIG), META)
    with database.write() as session:
        a_job(session, id="job_1")
        fields = dict(attempt=1, fence=2, size_bytes=1, sha256="0", metrics={})
        session.add(CheckpointRow(id="job_1@7", job_id="job_1", step=7, path=folder.name, **fields))
    assert find(database, storage, "job_1@7").path == folder
    assert find(database, storage, "job_1@007").name == "job_1@7"  # one checkpoint has one name in memory
    with pytest.raises(CheckpointNotFound):
        find(database, storage, "job_1@8")


def test_a_damaged_folder_is_refused(storage):
    folder = storage.model("mine")
    checkpoint.save_model(folder, Transformer(CONFIG), META)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(BadCheckpoint):
        model_files.read(model_files.Place("mine", folder, is_gguf=False))
    (folder / "model.json").write_text("no json")
    assert not model_files.has_chat_template(folder)


def test_what_is_said_of_the_model_that_ships_is_what_its_file_says(assets: Path):
    told = model_files.BUILT_IN["smollm2-135m-instruct"]
    path = assets / told.file_name
    weights = model_files.read(model_files.Place(told.name, path, is_gguf=True))
    assert weights.config == told.config
    assert weights.network.parameter_count() == told.parameters
    assert path.stat().st_size == told.size_bytes
    assert checkpoint._sha256(path) == told.sha256
    assert (weights.chat_template is not None) == told.has_chat_template
