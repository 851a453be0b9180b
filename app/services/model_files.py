"""Where the weights of a name lie, and how they become a network with its tokenizer.

Knows the three kinds of place: the GGUF file that ships, a registered model's folder, a job's checkpoint. Knows no
memory, thread or request.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session

from app.db.tables import job_list
from app.db.tables import model as model_table
from app.db.tables.checkpoint import CheckpointRow
from app.errors import CheckpointNotFound, DataMissing, ModelNotFound, WrongModel
from app.llm.config import ClassifierConfig, ModelConfig, NetworkConfig, network_config
from app.llm.errors import BadCheckpoint, LLMError
from app.llm.model.shapes import FLOAT_BYTES
from app.llm.progress import Tell, silent
from app.services.storage import MODEL_NAME, NAME, Storage

if TYPE_CHECKING:  # torch takes a second to import, and a server that lists models needs none
    from torch import Tensor

    from app.llm.checkpoint import ModelMeta
    from app.llm.model.adapter import Adapter
    from app.llm.model.stored import StoredNetwork
    from app.llm.model.transformer import Transformer


@dataclass(frozen=True)
class BuiltIn:
    """A model that comes with the installation; what stands here is what its file says."""

    name: str
    file_name: str
    tokenizer: str
    parameters: int
    size_bytes: int
    sha256: str
    config: ModelConfig
    licence: str
    has_chat_template: bool


BUILT_IN = {
    model.name: model
    for model in (
        BuiltIn(
            name="smollm2-135m-instruct",
            file_name="SmolLM2-135M-Instruct.Q4_1.gguf",
            tokenizer="smollm2",
            parameters=134_515_008,
            size_bytes=98_362_432,
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            config=ModelConfig(
                vocab_size=49_152,
                context_length=8192,
                emb_dim=576,
                n_heads=9,
                n_layers=30,
                n_kv_heads=3,
                hidden_dim=1536,
                norm="rmsnorm",
                position="rope",
                mlp="swiglu",
                tied=True,
                norm_eps=9.999999747378752e-06,  # 1e-5 in the float32 of the file
                rope_base=100_000.0,
            ),
            licence="apache-2.0",
            has_chat_template=True,
        ),
    )
}


WRITES_NOTHING = {
    "word2vec": "holds word vectors, which write nothing; POST /embeddings reads them",
    "classifier": "is a classifier, which writes nothing; POST /classify asks it",
}


@dataclass(frozen=True)
class Place:
    """Where a model's weights lie: a GGUF file, or a folder as `llm/checkpoint.py` writes it."""

    name: str
    path: Path
    is_gguf: bool
    memory_bytes: int = 0
    """Of the weights, once they are in memory."""
    version: str = ""
    """Another one where other weights have taken the name."""
    base: Place | None = None
    """Of an adapter, the network that it stands beside."""

    @property
    def base_name(self) -> str | None:
        return None if self.base is None else self.base.name


@dataclass(frozen=True)
class Weights:
    """What was read from a place."""

    network: Transformer | StoredNetwork
    """A stored one is read from its file part by part by whoever makes something of it, or at once by `whole`."""
    config: ModelConfig
    tokenizer: str
    eos_id: int | None
    chat_template: str | None
    licence: str | None = None
    is_mapped: bool = False
    """The network lies in pages of its file, which the system takes back where it needs them and reads again."""


def find(session: Session, storage: Storage, name: str) -> Place:
    """The place of a model that writes, or of a checkpoint of one, `job_id@step`.

    Raises:
        WrongModel: it holds word vectors alone, or tells classes.
        ModelNotFound, CheckpointNotFound, DataMissing: as `find_any`.
    """
    place = find_any(session, storage, name)
    if (told := WRITES_NOTHING.get(family(place) or "")) is not None:
        raise WrongModel(f"model: {name} {told}", param="model")
    return place


def find_any(session: Session, storage: Storage, name: str) -> Place:
    """The place of a model of any kind, or of a checkpoint.

    Raises:
        ModelNotFound, CheckpointNotFound: there is none of that name.
        DataMissing: there is, but its files are gone; the message says how to get them.
    """
    place = _place(session, storage, name)
    for each in (place, place.base):
        if each is None or each.path.exists():
            continue
        hint = "`make assets` brings it (it needs a network)" if each.is_gguf else "its folder was removed"
        raise DataMissing(f"model: the weights of {each.name} are not on this machine: {hint}", param="model")
    return place


def _place(session: Session, storage: Storage, name: str) -> Place:
    if name in BUILT_IN:
        shipped = BUILT_IN[name]
        return Place(name, storage.asset(shipped.file_name), True, FLOAT_BYTES * shipped.parameters, shipped.sha256)
    if "@" in name:
        checkpoint = checkpoint_row(session, name)
        if checkpoint is None:
            raise CheckpointNotFound(f"model: there is no checkpoint {_short(name)}", param="model")
        folder = storage.checkpoint(checkpoint.job_id, checkpoint.path)
        about = _about(folder)
        base = _base(session, storage, about["base_model"]) if about.get("family") == "adapter" else None
        return Place(checkpoint.id, folder, False, _size_of_weights(folder), checkpoint.sha256, base)
    row = model_table.get(session, name) if MODEL_NAME.fullmatch(name) else None
    if row is None:
        raise ModelNotFound(f"model: there is no model {_short(name)}; GET /models lists them", param="model")
    base = _base(session, storage, row.base_model) if row.family == "adapter" else None
    return Place(name, storage.model(name), False, FLOAT_BYTES * row.parameters, row.sha256, base)


def _base(session: Session, storage: Storage, name: str | None) -> Place:
    if name is None or "@" in name:
        raise DataMissing("model: the adapter does not say which model it stands beside", param="model")
    return _place(session, storage, name)


def checkpoint_row(session: Session, name: str) -> CheckpointRow | None:
    """The row of `job_id@step`, if there is one."""
    job_id, _, step = name.rpartition("@")
    number = int(step) if step.isascii() and step.isdigit() and len(step) < 10 else -1
    return job_list.checkpoint_named(session, f"{job_id}@{number}") if NAME.fullmatch(job_id) else None


def _size_of_weights(folder: Path) -> int:
    try:
        return (folder / "model.safetensors").stat().st_size
    except FileNotFoundError:  # whoever reads it is told
        return 0


def read(place: Place, tell: Tell = silent) -> Weights:
    """Read the weights, on the CPU, ready to generate; those of a GGUF file are left to whoever needs them.

    Of an adapter these are its base's weights with the adapter in them, left to whoever needs them, too.

    Raises:
        BadWeights, BadCheckpoint: the file or folder is not whole, or is of another kind.
        FileNotFoundError: it is gone.
    """
    if place.base is not None:
        return _merged(place)
    if place.is_gguf:
        from app.llm.weights.gguf import stored_gguf

        about, network = stored_gguf(place.path)
        known = BUILT_IN[place.name]
        return Weights(network, network.config, known.tokenizer, about.eos_id, about.chat_template, known.licence)
    from app.llm.checkpoint import load_model
    from app.llm.model.transformer import Transformer

    found, meta = load_model(place.path, tell)
    if not isinstance(found, Transformer):
        raise BadCheckpoint(f"{place.name} is a {meta.config.family} model")
    found.requires_grad_(False)
    return Weights(found, found.config, meta.tokenizer, meta.eos_id, meta.chat_template, meta.licence, is_mapped=True)


def _merged(place: Place) -> Weights:
    from app.llm.model.adapter import merged_reader
    from app.llm.model.shapes import weight_shapes
    from app.llm.model.stored import StoredNetwork

    assert place.base is not None, "an adapter has a base"
    adapter, meta = read_adapter(place)
    base, config = read_meta(place.base), adapter.config.body
    read_one = merged_reader(reader(place.base), adapter)
    names = [weight.name for weight in weight_shapes(config)]
    network = StoredNetwork(config, lambda start: ((name, read_one(name)) for name in names if name.startswith(start)))
    eos_id = base.eos_id if meta.eos_id is None else meta.eos_id
    return Weights(network, config, base.tokenizer, eos_id, meta.chat_template or base.chat_template, base.licence)


def read_adapter(place: Place) -> tuple[Adapter, ModelMeta]:
    """An adapter, seen to be one of its base.

    Raises:
        BadCheckpoint: the folder is not whole, or is of another kind.
        BadWeights: its base has other weights now.
        FileNotFoundError: it is gone.
    """
    from app.llm.checkpoint import load_model
    from app.llm.model.adapter import Adapter, check_fits

    found, meta = load_model(place.path)
    if not isinstance(found, Adapter) or place.base is None:
        raise BadCheckpoint(f"{place.name} is a {meta.config.family} model")
    about = read_meta(place.base).config
    assert isinstance(about, ModelConfig), "only such a network has adapters"
    check_fits(found.config, about, place.base.version, place.base.name)
    return found, meta


def stamp(place: Place) -> tuple[int, int, int]:
    """Another one where the file, or the folder, is no longer the one that it was.

    Raises:
        FileNotFoundError: it is gone.
    """
    found = place.path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def read_meta(place: Place) -> ModelMeta:
    """What is known of a model beside its weights.

    Raises:
        BadWeights, BadCheckpoint: the file or folder is not whole.
        FileNotFoundError: it is gone.
    """
    from app.llm.checkpoint import ModelMeta, load_meta

    if not place.is_gguf:
        return load_meta(place.path)
    from app.llm.weights.gguf import read_metadata

    known, about = BUILT_IN[place.name], read_metadata(place.path)
    return ModelMeta(about.config, known.tokenizer, about.eos_id, about.chat_template, None, known.licence)


def reader(place: Place) -> Callable[[str], Tensor]:
    """What reads a weight by our name, in float32; the files are opened now, and stay so while it is held.

    Of an adapter these are its base's weights with the adapter in them.

    Raises:
        BadWeights: the file is not whole.
        FileNotFoundError: it is gone.
    """
    if place.base is not None:
        from app.llm.model.adapter import merged_reader

        return merged_reader(reader(place.base), read_adapter(place)[0])
    if place.is_gguf:
        from app.llm.weights.gguf import weights_of
        from app.llm.weights.gguf_file import open_gguf

        return weights_of(open_gguf(place.path)).read
    from app.llm.weights.safetensors_file import open_safetensors

    return open_safetensors(place.path / "model.safetensors").read


@dataclass(frozen=True)
class Described:
    """What a checkpoint's folder says of the model in it."""

    config: NetworkConfig
    tokenizer: str
    chat: bool
    size_bytes: int
    sha256: str
    """Of the file that holds the weights."""


def described(name: str, folder: Path) -> Described:
    """What a checkpoint's folder says of its model, without reading the weights.

    Raises:
        DataMissing: it is gone or damaged.
    """
    about, manifest = _about(folder), _object_in(folder / "manifest.json")
    try:
        config = network_config(about["family"], about["config"])
        weights = manifest["files"]["model.safetensors"]
        chat = about["chat_template"] is not None
        return Described(config, about["tokenizer"], chat, weights["size_bytes"], weights["sha256"])
    except (KeyError, TypeError, LLMError) as error:
        raise DataMissing(f"model: checkpoint {name} is damaged, or its folder is gone", param="model") from error


def chat_template(place: Place) -> str | None:
    """The template that a model's messages are put into, if it has one, without reading its weights.

    Raises:
        BadWeights: its file is not whole.
    """
    found = read_meta(place).chat_template if place.is_gguf else _about(place.path).get("chat_template")
    return found if isinstance(found, str) else None


def has_chat_template(place: Path) -> bool:
    """Whether the model in a folder takes messages, without reading its weights."""
    return _about(place).get("chat_template") is not None


def family(place: Place) -> str | None:
    """What kind of network lies there, without reading its weights; None where that is not said."""
    found = None if place.is_gguf else _about(place.path).get("family")
    return found if isinstance(found, str) else None


def classifier_of(place: Place) -> tuple[ClassifierConfig, str]:
    """How a classifier's folder describes it, and its tokenizer, without reading the weights.

    Raises:
        DataMissing: that is damaged.
    """
    about = _about(place.path)
    try:
        config, tokenizer = network_config(about["family"], about["config"]), str(about["tokenizer"])
    except (KeyError, TypeError, LLMError) as error:
        raise DataMissing(f"model: the description of {place.name} is damaged", param="model") from error
    assert isinstance(config, ClassifierConfig), "its family says so"
    return config, tokenizer


def _about(folder: Path) -> dict[str, Any]:
    """What a model says of itself; nothing where that is damaged: whoever loads it is told."""
    return _object_in(folder / "model.json")


def _object_in(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _short(name: str) -> str:
    return repr(name[:200])
