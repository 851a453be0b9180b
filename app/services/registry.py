"""What is done with a registered model as a whole: into memory, out of it, deleted."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.session import after_commit, on_failure
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.job import JobRow
from app.errors import Conflict, ModelNotFound
from app.services import imported_tokenizers, job_needs
from app.services.model_files import BUILT_IN
from app.services.model_info import ModelInfo
from app.services.ownership import check_may_change
from app.services.runtime import Runtime
from app.services.storage import MODEL_NAME


async def load(runtime: Runtime, name: str) -> ModelInfo:
    """Load a model and wait for it.

    Raises:
        ModelNotFound, CheckpointNotFound: there is none of that name.
        DataMissing: its files are gone or damaged.
        TooLarge: its weights are more than the memory for models.
        NotReady: it takes longer than a request waits, or what is in memory is at work.
    """
    await asyncio.to_thread(_info, runtime, name)
    await runtime.model(name)
    return await asyncio.to_thread(_info, runtime, name)


def unload(runtime: Runtime, name: str) -> ModelInfo:
    """Take a model out of memory.

    Raises:
        ModelNotFound, CheckpointNotFound: there is none of that name.
        MissingScope: it is nobody's, and others may be about to use it.
        Conflict: it is at work, or is being loaded.
    """
    with runtime.database.read() as session:
        model = runtime.catalogue.info(session, name)
        check_may_change(session, model.owner)
    runtime.models.unload(model.name)
    return _info(runtime, name)


def delete(session: Session, runtime: Runtime, name: str) -> None:
    """Remove a model, its files, and the tokenizer that came with it unless others use that.

    Raises:
        ModelNotFound: there is none of that name.
        MissingScope: it is nobody's.
        Conflict: it ships with Inkling or is the default one, is at work, has adapters, or an unfinished job needs it.
    """
    if name in BUILT_IN:
        raise Conflict(f"name: {name} ships with Inkling and stays", param="name")
    row = model_table.lock(session, name) if MODEL_NAME.fullmatch(name) else None
    if row is None:
        raise ModelNotFound(f"there is no model {name[:200]!r}; GET /models lists them", param="name")
    check_may_change(session, row.owner)
    if name == runtime.settings.default_model:
        raise Conflict(f"name: {name} is the default model (INKLING_DEFAULT_MODEL)", param="name")
    if adapters := model_table.adapters_of(session, name):
        told = f"{', '.join(adapters[:5])} stand{'s' if len(adapters) == 1 else ''} beside {name}; delete that first"
        raise Conflict(f"name: {told}", param="name")
    for job in job_table.live(session):
        if _needs(job, name):
            raise Conflict(f"name: {name} is needed by job {job.id}, which is {job.status}", param="name")
    runtime.models.unload(name)
    session.delete(row)
    session.flush()
    imported_tokenizers.remove(session, runtime.storage, row.tokenizer)
    _put_aside(session, runtime, name)
    after_commit(session, lambda: runtime.models.forget(name))  # somebody may have asked for it meanwhile
    after_commit(session, lambda: runtime.classifiers.forget(name))


def _put_aside(session: Session, runtime: Runtime, name: str) -> None:
    """Take the model's folder out of its place while the row is held: after the commit the name may be another's."""
    folder, aside = runtime.storage.model(name), runtime.storage.scratch / new_id("deleted")
    if folder.exists():
        folder.rename(aside)
        on_failure(session, lambda: _back(aside, folder))
        after_commit(session, lambda: shutil.rmtree(aside, ignore_errors=True))


def _back(aside: Path, folder: Path) -> None:
    aside.rename(folder)


def _needs(job: JobRow, name: str) -> bool:
    return name == job.name or name in job_needs.models_of(job)


def _info(runtime: Runtime, name: str) -> ModelInfo:
    with runtime.database.read() as session:
        return runtime.catalogue.info(session, name)
