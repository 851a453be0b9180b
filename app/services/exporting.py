"""A model for other programs: written into scratch complete, streamed from there, and gone again.

Whatever cannot be written is refused before the first byte is sent.
"""

from __future__ import annotations

import errno
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from app.db.base import new_id
from app.errors import DataMissing, InvalidRequest, NoDiskSpace, WrongModel
from app.llm.config import AdapterConfig, ClassifierConfig, ModelConfig, Word2VecConfig
from app.llm.errors import BadConfig, LLMError
from app.llm.tokenizer.vocabulary import vocabulary_of
from app.services import model_files
from app.services.import_checks import check_disk
from app.services.model_files import Place
from app.services.model_info import ModelInfo
from app.services.runtime import Runtime

if TYPE_CHECKING:
    from app.llm.weights.export import Exported, GGUFType

CHUNK_BYTES = 1 << 20
BLOCK = tarfile.BLOCKSIZE
WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class Made:
    """A file to send, or the files of a folder as one tar; `remove` it once it was sent, or was not."""

    path: Path
    file_name: str
    media_type: str
    is_kept: bool = False

    @property
    def size_bytes(self) -> int:
        if self.path.is_file():
            return self.path.stat().st_size
        return sum(BLOCK + _padded(one.stat().st_size) for one in self.path.iterdir()) + 2 * BLOCK

    def stream(self) -> Iterator[bytes]:
        """The bytes in order."""
        if self.path.is_file():
            yield from _pieces(self.path)
            return
        for one in sorted(self.path.iterdir()):
            entry = tarfile.TarInfo(f"{self.file_name.removesuffix('.tar')}/{one.name}")
            entry.size, entry.mode = one.stat().st_size, 0o644
            yield entry.tobuf(tarfile.GNU_FORMAT)
            yield from _pieces(one)
            yield bytes(_padded(entry.size) - entry.size)
        yield bytes(2 * BLOCK)

    def remove(self) -> None:
        """Remove what was made to be sent; safe to call more than once."""
        if not self.is_kept:
            shutil.rmtree(self.path.parent, ignore_errors=True)


def export(runtime: Runtime, name: str, kind: Literal["huggingface", "gguf", "peft"], weights: GGUFType) -> Made:
    """Write a model in another's format. Of an adapter that is its base with the adapter in it, but for `peft`.

    Raises:
        ModelNotFound, CheckpointNotFound, DataMissing: it is not there, or its files are gone or damaged.
        InvalidRequest: the format cannot hold it; `param` says why.
        NoDiskSpace: there is no room to write it.
    """
    from app.llm.weights.export import write_gguf, write_hugging_face

    if kind == "huggingface" and weights == "q8_0":
        raise InvalidRequest("type: q8_0 is written in GGUF alone", param="type")
    info, place = _find(runtime, name)
    if isinstance(info.config, Word2VecConfig):
        raise WrongModel(f"name: {name} holds word vectors, which only /download takes elsewhere", param="name")
    if kind == "peft":
        return _peft(runtime, info, place, weights)
    if isinstance(info.config, ClassifierConfig):
        told = "is a classifier, whose classes these formats have no place for; /download gives its weights"
        raise WrongModel(f"name: {name} {told}", param="name")
    with _refusals(name):
        model = _opened(runtime, info, place)
    if kind == "gguf" and model.vocabulary is None:
        told = f"GGUF cannot hold the tokenizer {info.tokenizer}; format=huggingface leaves it out"
        raise InvalidRequest(f"format: {told}", param="format")
    check_disk(runtime.storage, info.memory_bytes if place.base is None else place.base.memory_bytes)
    if kind == "gguf":
        file_name = f"{_plain(name)}.{weights}.gguf"
        return _written(
            runtime, name, file_name, "application/octet-stream", lambda path: write_gguf(path, model, weights)
        )

    def fill(path: Path) -> None:
        path.mkdir()
        write_hugging_face(path, model, "F16" if weights == "f16" else "F32")

    return _written(runtime, name, f"{_plain(name)}.tar", "application/x-tar", fill)


def _peft(runtime: Runtime, info: ModelInfo, place: Place, weights: GGUFType) -> Made:
    """An adapter alone, as `peft` loads it."""
    from app.llm.weights.adapter import write_adapter

    if place.base is None:
        raise InvalidRequest(f"format: {info.name} is no adapter; peft holds nothing else", param="format")
    if weights != "f32":
        raise InvalidRequest(f"type: {weights} is not written for peft; leave this out", param="type")
    base = place.base.name
    with _refusals(info.name):
        adapter, _ = model_files.read_adapter(place)
    check_disk(runtime.storage, 2 * info.memory_bytes)  # joined layers have zeros beside

    def fill(path: Path) -> None:
        path.mkdir()
        write_adapter(path, adapter, base)

    return _written(runtime, info.name, f"{_plain(info.name)}.tar", "application/x-tar", fill)


def _plain(name: str) -> str:
    """Of a file: what stands before a colon would be a host, to tar, or a drive."""
    return name.replace(":", "-")


def download(runtime: Runtime, name: str) -> Made:
    """A model's weights as one safetensors file, under our own names: the file itself, or one made of the GGUF file.

    Raises:
        ModelNotFound, CheckpointNotFound, DataMissing: it is not there, or its files are gone or damaged.
        NoDiskSpace: there is no room to write it.
    """
    info, place = _find(runtime, name)
    file_name = f"{_plain(name)}.safetensors"
    if not place.is_gguf:
        with _refusals(name):
            model_files.read_meta(place)  # sees that every byte is as it was written, before one is sent
        return Made(place.path / WEIGHTS, file_name, "application/octet-stream", is_kept=True)
    from app.llm.weights.gguf import weights_of
    from app.llm.weights.gguf_file import open_gguf
    from app.llm.weights.safetensors_file import write_safetensors

    check_disk(runtime.storage, info.memory_bytes)
    with _refusals(name):
        weights = weights_of(open_gguf(place.path))
    return _written(
        runtime,
        name,
        file_name,
        "application/octet-stream",
        lambda path: write_safetensors(path, weights.shapes.items(), weights.ours()),
    )


def _find(runtime: Runtime, name: str) -> tuple[ModelInfo, Place]:
    with runtime.database.read() as session:
        info = runtime.catalogue.info(session, name)
        return info, model_files.find_any(session, runtime.storage, name)


def _opened(runtime: Runtime, info: ModelInfo, place: Place) -> Exported:
    """The model's weights, none of them read yet, and what is known of it."""
    from app.llm.weights.export import Exported

    about = model_files.read_meta(place)
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, info.tokenizer, param="name")
    config = about.config.body if isinstance(about.config, AdapterConfig) else about.config
    assert isinstance(config, ModelConfig), "word vectors were refused"
    eos_id = tokenizer.eos_id if about.eos_id is None else about.eos_id
    vocabulary = vocabulary_of(tokenizer)
    return Exported(
        name=info.name,
        config=config,
        read=model_files.reader(place),
        vocabulary=replace(vocabulary, eos_id=eos_id) if vocabulary is not None else None,
        eos_id=eos_id,
        chat_template=about.chat_template,
        licence=info.licence,
    )


def _written(runtime: Runtime, name: str, file_name: str, media_type: str, write: Callable[[Path], Any]) -> Made:
    """What `write` makes at a path in scratch; nothing is left where it fails."""
    folder = runtime.storage.scratch / new_id("export")
    folder.mkdir(mode=0o700)
    path = folder / file_name
    try:
        with _refusals(name):
            write(path)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Made(path, file_name, media_type)


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    try:
        yield
    except BadConfig as error:
        raise InvalidRequest(f"format: {name}: {error}", param="format") from error
    except LLMError as error:
        raise DataMissing(f"name: the files of {name} cannot be used: {error}", param="name") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace("there is no room on the disk to write it") from error
        raise


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
