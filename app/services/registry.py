"""What is done with a registered model as a whole: into memory, out of it, deleted."""

from __future__ import annotations

import asyncio
import shutil

from sqlalchemy.orm import Session

from app.db.session import after_commit
from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.job import JobRow
from app.errors import Conflict, ModelNotFound
from app.services import imported_tokenizers
from app.services.model_files import BUILT_IN
from app.services.model_info import ModelInfo
from app.services.runtime import Runtime
from app.services.storage import NAME


async def load(runtime: Runtime, name: str) -> ModelInfo:
    """Load a model and wait for it.

    Raises:
        ModelNotFound: there is none of that name.
        DataMissing: its files are gone or damaged.
        TooLarge: its weights are more than the memory for models.
        NotReady: it takes longer than a request waits, or what is in memory is at work.
    """
    await asyncio.to_thread(_info, runtime, name)  # a checkpoint has no entry to tell of
    await runtime.models.wait_for(name)
    return await asyncio.to_thread(_info, runtime, name)


def unload(runtime: Runtime, name: str) -> ModelInfo:
    """Take a model out of memory.

    Raises:
        ModelNotFound: there is none of that name.
        Conflict: it is at work, or is being loaded.
    """
    _info(runtime, name)
    runtime.models.unload(name)
    return _info(runtime, name)


def delete(session: Session, runtime: Runtime, name: str) -> None:
    """Remove a model, its files, and the tokenizer that came with it unless others use that.

    Raises:
        ModelNotFound: there is none of that name.
        Conflict: it ships with Inkling or is the default one, is at work, or a queued or running job needs it.
    """
    if name in BUILT_IN:
        raise Conflict(f"name: {name} ships with Inkling and stays", param="name")
    row = model_table.lock(session, name) if NAME.fullmatch(name) else None
    if row is None:
        raise ModelNotFound(f"there is no model {name[:200]!r}; GET /models lists them", param="name")
    if name == runtime.settings.default_model:
        raise Conflict(f"name: {name} is the default model (INKLING_DEFAULT_MODEL)", param="name")
    for job in job_table.live(session):
        if _needs(job, name):
            raise Conflict(f"name: {name} is needed by job {job.id}, which is {job.status}", param="name")
    runtime.models.unload(name)
    session.delete(row)
    session.flush()
    in_use = model_table.with_tokenizer(session, row.tokenizer)
    in_jobs = [job for job in job_table.live(session) if job.tokenizer == row.tokenizer]
    if not in_use and not in_jobs:
        imported_tokenizers.remove(session, runtime.storage, row.tokenizer)
    folder = runtime.storage.model(name)
    after_commit(session, lambda: runtime.models.forget(name))  # somebody may have asked for it meanwhile
    after_commit(session, lambda: shutil.rmtree(folder, ignore_errors=True))


def _needs(job: JobRow, name: str) -> bool:
    return name in (job.model.get("name"), job.name)


def _info(runtime: Runtime, name: str) -> ModelInfo:
    with runtime.database.read() as session:
        return runtime.models.info(session, name)
