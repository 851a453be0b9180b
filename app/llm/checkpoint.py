"""Models and checkpoints on disk: complete or absent, safetensors and JSON alone, every byte accounted for.

A folder holds `model.safetensors` and `model.json`; a checkpoint also `trainer.safetensors` (optimizer and random
generators) and `trainer.json` (where the run stands); `manifest.json` names size and sha256 of each of them. It is
written under another name beside its place, synced, and renamed, so that a half-written one is never seen.
Knows no database: which of them is listed is decided elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig, NetworkConfig, Word2VecConfig, network_config
from app.llm.errors import BadCheckpoint, BadWeights, LLMError
from app.llm.model.adapter import Adapter
from app.llm.model.classifier import Classifier
from app.llm.model.lora import apply_lora, lora_weights
from app.llm.model.shell import without_weights
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.llm.progress import Progress, Tell, silent
from app.llm.train.early_stop import Best
from app.llm.train.loop import Report, TrainState
from app.llm.weights.safetensors_file import write_safetensors

FORMAT = 1
MANIFEST = "manifest.json"
WEIGHTS, MODEL = "model.safetensors", "model.json"
TRAINER_TENSORS, TRAINER = "trainer.safetensors", "trainer.json"

Network = Transformer | WordVectors | Classifier
"""What runs. Of one that wears an adapter (its `ModelMeta` says so) the adapter alone is written."""


@dataclass(frozen=True)
class ModelMeta:
    """What generation needs beside the weights, and where they come from."""

    config: NetworkConfig
    tokenizer: str
    eos_id: int | None = None
    chat_template: str | None = None
    base_model: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class Saved:
    """What was written: bytes of all files, and the hashes that vouch for them."""

    size_bytes: int
    sha256: str  # of the manifest, which holds every file's own
    weights_sha256: str


def save_model(folder: Path, model: Network | Adapter, meta: ModelMeta) -> Saved:
    """Write weights and `meta` to a new `folder`, at once or not at all.

    Raises:
        FileExistsError: `folder` is there already.
        OSError: the disk is full, or refuses.
    """
    with _new_folder(folder) as aside:
        _write_model(aside, model, meta)
        return _seal(aside)


def save_weights(
    folder: Path, meta: ModelMeta, shapes: Mapping[str, tuple[int, ...]], tensors: Iterable[tuple[str, Tensor]]
) -> Saved:
    """As `save_model`, of weights that come one by one; memory for one of them is enough.

    Args:
        shapes: of all tensors, in the order in which they come.

    Raises:
        FileExistsError: `folder` is there already.
        LLMError: `tensors` raises it; nothing is left then.
        OSError: the disk is full, or refuses.
    """
    with _new_folder(folder) as aside:
        write_safetensors(aside / WEIGHTS, shapes.items(), tensors)
        _write_json(aside / MODEL, asdict(meta))
        return _seal(aside)


def load_model(folder: Path, tell: Tell = silent) -> tuple[Network | Adapter, ModelMeta]:
    """The network of a model's or checkpoint's folder, on the CPU, in evaluation mode; or an adapter without its base.

    Raises:
        BadCheckpoint: a file is missing, truncated, changed, or not what its description says.
    """
    tell(Progress("checking the file of weights", 0, 1))
    _verify(folder, (WEIGHTS, MODEL))
    tell(Progress("checking the file of weights", 1, 1))
    meta = _read_meta(folder / MODEL)
    tensors = _read_tensors(folder / WEIGHTS)
    if isinstance(meta.config, AdapterConfig):
        return _adapter(folder, meta.config, tensors), meta
    body = meta.config.body if isinstance(meta.config, ClassifierConfig) else meta.config
    if isinstance(body, ModelConfig) and body.n_layers > len(tensors):  # before a million are made
        raise BadCheckpoint(f"{folder.name}: {len(tensors)} tensors are too few for {body.n_layers} layers")
    with without_weights():
        model = _network(meta.config)
    wanted = {name: (parameter.dtype, parameter.shape) for name, parameter in model.named_parameters()}
    found = {name: (tensor.dtype, tensor.shape) for name, tensor in tensors.items()}
    if found != wanted:
        odd = sorted(name for name in wanted | found if found.get(name) != wanted.get(name))
        raise BadCheckpoint(f"{folder.name}: the weights are not those of the configuration: {', '.join(odd[:5])}")
    model.load_state_dict(tensors, assign=True)
    return model.eval(), meta


def _adapter(folder: Path, config: AdapterConfig, tensors: dict[str, Tensor]) -> Adapter:
    if config.body.n_layers > len(tensors):  # before a million are expected
        raise BadCheckpoint(f"{folder.name}: {len(tensors)} tensors are too few for {config.body.n_layers} layers")
    if any(tensor.dtype != torch.float32 for tensor in tensors.values()):
        raise BadCheckpoint(f"{folder.name}: weights of an adapter are float32")
    try:
        return Adapter(config, tensors)
    except BadWeights as error:
        raise BadCheckpoint(f"{folder.name}: {error}") from error


def _network(config: NetworkConfig) -> Network:
    if isinstance(config, Word2VecConfig):
        return WordVectors(config)
    if isinstance(config, ClassifierConfig):
        classifier = Classifier(Transformer(config.body), len(config.classes))
        if config.lora is not None:
            apply_lora(classifier, config.lora)
        return classifier
    assert isinstance(config, ModelConfig), "an adapter is no network"
    return Transformer(config)


def load_meta(folder: Path) -> ModelMeta:
    """What stands beside the weights of a model's folder; the weights are seen to be as they were written.

    Raises:
        BadCheckpoint: as `load_model`.
    """
    _verify(folder, (WEIGHTS, MODEL))
    return _read_meta(folder / MODEL)


def save_checkpoint(folder: Path, model: Network, meta: ModelMeta, state: TrainState) -> Saved:
    """Write all that a run needs to go on, to a new `folder`, at once or not at all.

    Raises:
        FileExistsError: `folder` is there already.
        OSError: the disk is full, or refuses.
    """
    tensors = {f"optimizer.{name}": tensor for name, tensor in state.optimizer.items()}
    tensors |= {f"rng.{name}": tensor for name, tensor in state.rng.items()}
    with _new_folder(folder) as aside:
        _write_model(aside, model, meta)
        _write_tensors(aside / TRAINER_TENSORS, tensors)
        _write_json(aside / TRAINER, asdict(state.report) | {"best": asdict(state.best)})
        return _seal(aside)


def load_checkpoint(folder: Path, sha256: str | None = None) -> tuple[Network | Adapter, ModelMeta, TrainState]:
    """Read back what `save_checkpoint` wrote; the tensors are on the CPU.

    Raises:
        BadCheckpoint: as `load_model`, or the manifest's hash is not `sha256`.
    """
    _verify(folder, (WEIGHTS, MODEL, TRAINER_TENSORS, TRAINER), sha256)
    tensors = _read_tensors(folder / TRAINER_TENSORS)
    try:
        stands = _read_json(folder / TRAINER)
        best = Best(**stands.pop("best", {}))  # not there in a checkpoint of before the run could end early
        report = Report(**stands)
        groups: dict[str, dict[str, Tensor]] = {"optimizer": {}, "rng": {}}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor
    except (TypeError, KeyError) as error:
        raise BadCheckpoint(f"{folder.name}: {error}") from error
    model, meta = load_model(folder)
    return model, meta, TrainState(report, groups["optimizer"], groups["rng"], best)


def copy_model(checkpoint: Path, folder: Path, meta: ModelMeta | None = None) -> Saved:
    """Make a model's `folder` out of a checkpoint's. Files are never changed once written, so they are linked.

    Args:
        meta: of the model, where it is not to be described as the checkpoint is.

    Raises:
        BadCheckpoint: the checkpoint is not whole.
        FileExistsError: `folder` is there already.
        OSError: the disk is full, or refuses.
    """
    entries = _verify(checkpoint, (MODEL,))
    linked = [WEIGHTS, MODEL]
    with _new_folder(folder) as aside:
        if meta is not None and meta != _read_meta(checkpoint / MODEL):
            linked = [WEIGHTS]
            _write_meta(aside, meta)
        for name in linked:
            try:
                os.link(checkpoint / name, aside / name)
            except OSError:  # a filesystem without links
                shutil.copyfile(checkpoint / name, aside / name)
        return _seal(aside, known={name: entries[name] for name in linked})


def publish(folder: Path, place: Path) -> None:
    """Move a complete `folder` to its `place`, on the same filesystem; what an attempt before left there goes."""
    if place.exists():
        shutil.rmtree(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    folder.rename(place)
    _sync(place.parent)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` that becomes it at the end, or vanishes on any error."""
    if folder.exists():
        raise FileExistsError(f"{folder.name} is there already")
    aside = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    aside.mkdir(mode=0o700, parents=True)
    try:
        yield aside
        _sync(aside)
        aside.rename(folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    _sync(folder.parent)


def _seal(folder: Path, known: Mapping[str, Mapping[str, Any]] | None = None) -> Saved:
    """Sync every file and write the manifest; hashes in `known` are not taken again."""
    entries = {}
    for path in sorted(folder.iterdir()):
        _sync(path)
        entries[path.name] = dict((known or {}).get(path.name) or _entry(path))
    _write_json(folder / MANIFEST, {"format": FORMAT, "files": entries})
    _sync(folder / MANIFEST)
    return Saved(
        size_bytes=sum(entry["size_bytes"] for entry in entries.values()),
        sha256=_sha256(folder / MANIFEST),
        weights_sha256=entries[WEIGHTS]["sha256"],
    )


def _verify(folder: Path, names: tuple[str, ...], sha256: str | None = None) -> dict[str, dict[str, Any]]:
    """The manifest's entries, once the files `names` were found to be as it says."""
    try:
        if sha256 is not None and _sha256(folder / MANIFEST) != sha256:
            raise BadCheckpoint(f"{folder.name}: the manifest was changed")
        manifest = _read_json(folder / MANIFEST)
        entries: dict[str, dict[str, Any]] = manifest["files"]
        if manifest["format"] != FORMAT:
            raise BadCheckpoint(f"{folder.name}: format {manifest['format']!r} is not known here")
        for name in names:
            if (folder / name).stat().st_size != entries[name]["size_bytes"] or _entry(folder / name) != entries[name]:
                raise BadCheckpoint(f"{folder.name}: {name} is not as it was written")
    except OSError as error:
        raise BadCheckpoint(f"{folder.name}: {error.strerror} ({error.filename})") from error
    except (KeyError, TypeError) as error:
        raise BadCheckpoint(f"{folder.name}: the manifest lacks {error}") from error
    return entries


def _write_model(folder: Path, model: Network | Adapter, meta: ModelMeta) -> None:
    _write_tensors(folder / WEIGHTS, _tensors_of(model, meta))
    _write_meta(folder, meta)


def _write_meta(folder: Path, meta: ModelMeta) -> None:
    _write_json(folder / MODEL, asdict(meta) | {"family": meta.config.family})


def _tensors_of(model: Network | Adapter, meta: ModelMeta) -> Mapping[str, Tensor]:
    if isinstance(model, Adapter):
        return model.tensors
    if isinstance(meta.config, AdapterConfig):
        return lora_weights(model)
    # Tied weights appear once: named_parameters names a shared tensor a single time.
    return dict(model.named_parameters())


def _read_meta(path: Path) -> ModelMeta:
    fields = _read_json(path)
    try:
        config = network_config(fields.pop("family", ""), fields["config"])
        return ModelMeta(**{**fields, "config": config})
    except (TypeError, KeyError, LLMError) as error:
        raise BadCheckpoint(f"{path.name}: {error}") from error


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Straight from where the tensors lie: those on the CPU are not copied first."""
    try:
        save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path)
    except SafetensorError as error:
        # What the operating system said stands at the end of the message, and nowhere else.
        number = re.search(r"\(os error (\d+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def _read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a file, mapped into memory: a page is read once it is used, a change stays private."""
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise BadCheckpoint(f"{path.name}: {error}") from error


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, sort_keys=True))


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadCheckpoint(f"{path.name}: {error}") from error
    if not isinstance(value, dict):
        raise BadCheckpoint(f"{path.name}: holds no object")
    return value


def _entry(path: Path) -> dict[str, Any]:
    return {"size_bytes": path.stat().st_size, "sha256": _sha256(path)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have the disk hold what was written to a file, or a folder's names."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
