"""Somebody else's weights become a model of this machine: converted, checked to the last number, complete or absent.

Knows files that are at hand; how they came here is `import_sources`' business.
"""

from __future__ import annotations

import errno
import hashlib
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.tables import job as job_table
from app.db.tables.model import ModelRow
from app.errors import InvalidFile, InvalidRequest, ModelNotFound, NameTaken, NoDiskSpace, TokenizerNotFound
from app.llm.errors import BadConfig, BadVocabulary, BadWeights
from app.llm.model.shapes import FLOAT_BYTES
from app.services import imported_tokenizers, memory
from app.services.chat import check_template
from app.services.import_files import Files, ModelFiles, look
from app.services.import_tokenizer import ImportedTokenizer, read_tokenizer
from app.services.runtime import Runtime
from app.services.storage import Storage, check_name

if TYPE_CHECKING:
    from app.llm.checkpoint import Saved
    from app.llm.weights.layout import Weights

SPARE_DISK_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Wanted:
    """What an import is asked to make."""

    name: str
    tokenizer: str | None
    licence: str | None
    param: str
    """The field of the request that brought the files."""


def check_new(runtime: Runtime, session: Session, wanted: Wanted) -> None:
    """See that a model of this name can be made, before any file is moved.

    Raises:
        InvalidRequest: it cannot be a name.
        NameTaken: a model or an unfinished job has it.
        TokenizerNotFound, DataMissing: the tokenizer that it names is not there.
    """
    check_name(wanted.name)
    try:
        runtime.catalogue.info(session, wanted.name)
    except ModelNotFound:
        if job_table.live_with_name(session, wanted.name) is not None:
            raise NameTaken(f"name: an unfinished job is called {wanted.name!r}", param="name") from None
    else:
        raise NameTaken(f"name: there is a model {wanted.name!r} already", param="name")
    if wanted.tokenizer is not None:
        runtime.tokenizers.get(session, wanted.tokenizer)


def import_model(runtime: Runtime, wanted: Wanted, files: Files, origin: dict[str, Any]) -> ModelRow:
    """Make a model of `files`. Needs memory for one tensor, and nothing is left of what is refused.

    Args:
        origin: where the files came from, as it will be told.

    Raises:
        AppError: what is wrong with them; the message names the file, the key or the tensor.
    """
    from app.llm.checkpoint import ModelMeta, save_weights

    with runtime.database.read() as session:
        check_new(runtime, session, wanted)
    found = look(files, wanted.param)
    folder = runtime.storage.scratch / new_id("import")
    try:
        with _refusals(wanted.param):
            weights, licence = _open(found)
            with runtime.database.read() as session:
                tokenizer = read_tokenizer(session, runtime, wanted, found)
            _check_fits(weights.config.vocab_size, tokenizer, wanted)
            if tokenizer.chat_template is not None:
                check_template(tokenizer.chat_template, tokenizer.tokenizer)
            shapes = weights.shapes
            check_disk(runtime.storage, FLOAT_BYTES * sum(math.prod(shape) for shape in shapes.values()))
            meta = ModelMeta(
                config=weights.config,
                tokenizer=tokenizer.name,
                eos_id=tokenizer.eos_id,
                chat_template=tokenizer.chat_template,
                licence=wanted.licence or licence,
            )
            saved = save_weights(folder, meta, shapes, weights.ours())
        row = _row(wanted, weights, meta.licence, tokenizer, saved)
        row.origin = origin | {"format": "gguf" if found.gguf else "safetensors", "files": _told(found)}
        _register(runtime, row, tokenizer, folder.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        memory.give_back()
    return row


def _open(found: ModelFiles) -> tuple[Weights, str | None]:
    """The weights, every tensor's place and shape checked; and the licence that the file tells of."""
    if found.gguf is not None:
        from app.llm.weights.gguf import weights_of
        from app.llm.weights.gguf_file import open_gguf

        file = open_gguf(found.gguf)
        licence = file.values.get("general.license")
        return weights_of(file), licence if isinstance(licence, str) else None
    from app.llm.weights.hf_config import read_config
    from app.llm.weights.huggingface import files_of, open_weights
    from app.services.import_files import CONFIGS, INDEX
    from app.services.import_tokenizer import read_json

    config = read_config(read_json(found, *CONFIGS) or {})
    index = read_json(found, INDEX)
    names = found.weights if index is None else tuple(files_of(index))
    if missing := [name for name in names if name not in found.all]:
        raise BadConfig(INDEX, f"the file {missing[0][:100]!r} that it lists is not there")
    return open_weights(config, [found.all[name] for name in names], index), None


def _check_fits(vocab_size: int, tokenizer: ImportedTokenizer, wanted: Wanted) -> None:
    known = tokenizer.tokenizer.vocab_size
    if known == vocab_size:
        return
    told = f"the network has {vocab_size} tokens, the tokenizer {tokenizer.name} has {known}"
    if wanted.tokenizer is not None:
        raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
    raise InvalidFile(f"{wanted.param}: vocab_size: {told}; they must be one", param="vocab_size")


def check_disk(storage: Storage, needed: int) -> None:
    """See that so many bytes can be written, and some to spare.

    Raises:
        NoDiskSpace: they cannot.
    """
    free = shutil.disk_usage(storage.scratch).free
    if needed + SPARE_DISK_BYTES > free:
        raise NoDiskSpace(f"the model needs {needed:,} bytes of disk, {free:,} are free")


@contextmanager
def _refusals(param: str) -> Iterator[None]:
    """What the library refuses, as the caller is told of it."""
    try:
        yield
    except BadConfig as error:
        raise InvalidFile(f"{param}: {error}", param=error.field) from error
    except (BadWeights, BadVocabulary) as error:
        raise InvalidFile(f"{param}: {error}", param=param) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoDiskSpace(f"{param}: there is no room for the model on the disk", param=param) from error
        raise InvalidFile(f"{param}: a file cannot be read: {error.strerror}", param=param) from error


def _row(wanted: Wanted, weights: Weights, licence: str | None, tokenizer: ImportedTokenizer, saved: Saved) -> ModelRow:
    config = weights.config
    return ModelRow(
        name=wanted.name,
        family=config.family,
        config=config.to_dict(),
        tokenizer=tokenizer.name,
        parameters=sum(math.prod(shape) for shape in weights.shapes.values()),
        size_bytes=saved.size_bytes,
        sha256=saved.weights_sha256,
        base_model=None,
        job_id=None,
        source="import",
        licence=licence,
        datasets=[],
        ancestors=[],
    )


def _told(found: ModelFiles) -> list[dict[str, Any]]:
    """Name, size and hash of each file that was read."""
    told = []
    for name, path in sorted(found.used.items()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        told.append({"name": name, "bytes": path.stat().st_size, "sha256": digest})
    return told


def _register(runtime: Runtime, row: ModelRow, tokenizer: ImportedTokenizer, staged: str) -> None:
    """Row, tokenizer and folder take their places, all of them or none."""
    from app.llm.checkpoint import publish

    name, place = row.name, runtime.storage.model(row.name)
    new_tokenizer = published = False
    try:
        with runtime.database.write() as session:
            if job_table.live_with_name(session, name) is not None:
                raise NameTaken(f"name: an unfinished job is called {name!r}", param="name")
            session.add(row)
            session.flush()
            if tokenizer.vocabulary is not None:
                imported_tokenizers.register(session, runtime.storage, tokenizer.name, tokenizer.vocabulary)
                new_tokenizer = True
            elif tokenizer.is_registered:
                try:
                    runtime.tokenizers.get(session, tokenizer.name)
                except TokenizerNotFound as error:
                    raise NameTaken(f"tokenizer: {tokenizer.name} was deleted meanwhile", param="tokenizer") from error
            publish(runtime.storage.scratch / staged, place)  # last: the name is ours
            published = True
    except BaseException as error:
        if published:  # and then the commit failed
            shutil.rmtree(place, ignore_errors=True)
        if new_tokenizer:
            runtime.storage.tokenizer(tokenizer.name).unlink(missing_ok=True)
        if isinstance(error, IntegrityError):  # somebody was faster
            raise NameTaken(f"name: there is a model {name!r} already", param="name") from error
        raise
