"""Somebody else's weights become a model of this machine: converted, checked to the last number, complete or absent.

Knows files that are at hand; how they came here is `import_sources`' business.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import IntegrityError

from app.db.base import new_id
from app.db.owned import owner_of_new
from app.db.tables import job as job_table
from app.db.tables.model import ModelRow
from app.errors import NameTaken, TokenizerNotFound
from app.llm.errors import BadConfig
from app.llm.model.shapes import FLOAT_BYTES
from app.services import imported_tokenizers, memory, quotas
from app.services.chat import check_template
from app.services.import_adapters import import_adapter, told_of
from app.services.import_checks import Wanted, check_disk, check_fits, check_licence, check_new, refusals
from app.services.import_files import Files, ModelFiles, look
from app.services.import_tokenizer import ImportedTokenizer, read_tokenizer
from app.services.runtime import Runtime

if TYPE_CHECKING:
    from app.llm.checkpoint import Saved
    from app.llm.weights.layout import Weights


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
    if ":" in wanted.name:
        return import_adapter(runtime, wanted, files, origin)
    found = look(files, wanted.param)
    folder = runtime.storage.scratch / new_id("import")
    try:
        with refusals(wanted.param):
            weights, licence = _open(found)
            with runtime.database.read() as session:
                tokenizer = read_tokenizer(session, runtime, wanted, found)
            check_fits(weights.config.vocab_size, tokenizer, wanted)
            if tokenizer.chat_template is not None:
                check_template(tokenizer.chat_template, tokenizer.tokenizer)
            shapes = weights.shapes
            check_disk(runtime.storage, FLOAT_BYTES * sum(math.prod(shape) for shape in shapes.values()))
            meta = ModelMeta(
                config=weights.config,
                tokenizer=tokenizer.name,
                eos_id=tokenizer.eos_id,
                chat_template=tokenizer.chat_template,
                licence=check_licence(wanted.licence or licence),
            )
            saved = save_weights(folder, meta, shapes, weights.ours())
        row = _row(wanted, weights, meta.licence, tokenizer, saved)
        row.origin = origin | {"format": "gguf" if found.gguf else "safetensors", "files": told_of(found.used)}
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
    return open_weights(config, {name: found.all[name] for name in names}, index), None


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


def _register(runtime: Runtime, row: ModelRow, tokenizer: ImportedTokenizer, staged: str) -> None:
    """Row, tokenizer and folder take their places, all of them or none."""
    from app.llm.checkpoint import publish

    name, place = row.name, runtime.storage.model(row.name)
    new_tokenizer = published = False
    try:
        with runtime.database.write() as session:
            if job_table.live_with_name(session, name) is not None:
                raise NameTaken(f"name: an unfinished job is called {name!r}", param="name")
            row.owner = owner_of_new(session)
            session.add(row)
            session.flush()
            quotas.check_stored(session, runtime)
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
