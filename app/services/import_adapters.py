"""An adapter in peft's files becomes one of this machine, beside a base that is registered or ships."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.db.base import new_id
from app.db.owned import owner_of_new
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.model import ModelRow
from app.errors import InvalidFile, InvalidRequest, ModelNotFound, NameTaken, WrongModel
from app.llm.config import ModelConfig
from app.services import lineage, model_files, quotas
from app.services.import_checks import Wanted, check_disk, check_licence, refusals
from app.services.import_files import ADAPTER, ADAPTER_WEIGHTS, Files
from app.services.model_files import BUILT_IN, Place
from app.services.runtime import Runtime


def import_adapter(runtime: Runtime, wanted: Wanted, files: Files, origin: dict[str, Any]) -> ModelRow:
    """Make an adapter of `files`, whose base stands before the colon of its name; nothing is left of what is refused.

    Raises:
        AppError: what is wrong with them, or it was made for another base; the message names the key or the tensor.
    """
    from app.llm.checkpoint import save_model
    from app.llm.weights.adapter import read_adapter

    if wanted.tokenizer is not None:
        raise InvalidRequest("tokenizer: an adapter has its base's; leave this out", param="tokenizer")
    for name in (ADAPTER, ADAPTER_WEIGHTS):
        if name not in files:
            raise InvalidFile(f"{wanted.param}: there is no {name}, so this is no adapter", param=wanted.param)
    base = _base(runtime, wanted.name.partition(":")[0])
    folder = runtime.storage.scratch / new_id("import")
    try:
        with refusals(wanted.param):
            about = model_files.read_meta(base)
            if not isinstance(about.config, ModelConfig):
                raise WrongModel(f"name: {base.name} has no layers for an adapter", param="name")
            adapter = read_adapter(_config(files, wanted), files[ADAPTER_WEIGHTS], about.config, base.version)
            check_disk(runtime.storage, 4 * adapter.parameter_count())
            licence = check_licence(wanted.licence)
            meta = replace(about, config=adapter.config, base_model=base.name, licence=licence)
            saved = save_model(folder, adapter, meta)
        row = ModelRow(
            name=wanted.name,
            family=adapter.config.family,
            config=adapter.config.to_dict(),
            tokenizer=about.tokenizer,
            parameters=adapter.parameter_count(),
            size_bytes=saved.size_bytes,
            sha256=saved.weights_sha256,
            base_model=base.name,
            job_id=None,
            source="import",
            licence=licence,
            datasets=[],
        )
        used = {name: files[name] for name in (ADAPTER, ADAPTER_WEIGHTS)}
        row.origin = origin | {"format": "safetensors", "files": told_of(used)}
        _register(runtime, row, base, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return row


def told_of(files: Mapping[str, Path]) -> list[dict[str, Any]]:
    """Name, size and hash of each file that was read."""
    told = []
    for name, path in sorted(files.items()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        told.append({"name": name, "bytes": path.stat().st_size, "sha256": digest})
    return told


def _base(runtime: Runtime, name: str) -> Place:
    try:
        with runtime.database.read() as session:
            return model_files.find(session, runtime.storage, name)
    except ModelNotFound as error:
        told = f"name: there is no model {name!r} for the adapter to stand beside"
        raise ModelNotFound(told, param="name") from error


def _config(files: Files, wanted: Wanted) -> dict[str, Any]:
    try:
        found = json.loads(files[ADAPTER].read_bytes())
    except (ValueError, RecursionError) as error:
        raise InvalidFile(f"{wanted.param}: {ADAPTER} is no JSON: {str(error)[:200]}", param=wanted.param) from error
    if not isinstance(found, dict):
        raise InvalidFile(f"{wanted.param}: {ADAPTER} holds no object", param=wanted.param)
    return found


def _register(runtime: Runtime, row: ModelRow, base: Place, staged: Path) -> None:
    """Row and folder take their places, both or neither, while the base is there."""
    from app.llm.checkpoint import publish

    place, published = runtime.storage.model(row.name), False
    try:
        with runtime.database.write() as session:
            if job_table.live_with_name(session, row.name) is not None:
                raise NameTaken(f"name: an unfinished job is called {row.name!r}", param="name")
            held = None if base.name in BUILT_IN else model_table.lock(session, base.name)
            if base.name not in BUILT_IN and (held is None or held.sha256 != base.version):
                raise ModelNotFound(f"name: {base.name!r} is another model by now, or gone", param="name")
            row.ancestors = lineage.ancestors_of(session, base.name)
            row.owner = owner_of_new(session)
            session.add(row)
            session.flush()
            quotas.check_stored(session, runtime)
            publish(staged, place)  # last: the name is ours
            published = True
    except BaseException as error:
        if published:  # and then the commit failed
            shutil.rmtree(place, ignore_errors=True)
        if isinstance(error, IntegrityError):  # somebody was faster
            raise NameTaken(f"name: there is a model {row.name!r} already", param="name") from error
        raise
