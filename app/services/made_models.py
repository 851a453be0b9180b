"""The network of a job's checkpoint, registered as the job's model: files first aside, then row and state together."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from app.db.tables import job as job_table
from app.db.tables import model as model_table
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow
from app.errors import NameTaken
from app.llm.checkpoint import ModelMeta, Saved, copy_model, load_meta, publish
from app.llm.errors import BadCheckpoint
from app.llm.model.shapes import FLOAT_BYTES, bytes_by_part
from app.services import lineage
from app.services.storage import Storage


@dataclass(frozen=True)
class Staged:
    """A model's folder beside the checkpoints, still to be moved to its place."""

    folder: Path
    saved: Saved
    meta: ModelMeta


def newest_whole(storage: Storage, rows: list[CheckpointRow]) -> tuple[CheckpointRow, ModelMeta] | None:
    """The first of these checkpoints whose weights are as they were written, and what stands beside them."""
    for row in rows:
        try:
            return row, load_meta(storage.checkpoint(row.job_id, row.path))
        except BadCheckpoint:
            continue  # an earlier one is better than none
    return None


@contextmanager
def staged(storage: Storage, job: JobRow, fence: int, checkpoint: Path, meta: ModelMeta) -> Iterator[Staged]:
    """The model's folder made of a checkpoint's; what is not published inside is gone afterwards.

    Raises:
        BadCheckpoint: the checkpoint is not whole.
        OSError: the disk is full, or refuses.
    """
    folder = storage.checkpoint(job.id, f"model-fence-{fence}")
    try:
        yield Staged(folder, copy_model(checkpoint, folder, meta), meta)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def add(session: Session, job: JobRow, made: Staged, report: dict[str, Any] | None = None) -> None:
    """Write the model's row, and the job's report if there is one, in the transaction that ends the job.

    Raises:
        NameTaken: there is a model of that name.
    """
    if model_table.is_taken(session, job.name):
        raise NameTaken(f"there is a model {job.name!r} already", param="name")
    config = made.meta.config
    row = ModelRow(
        name=job.name,
        family=config.family,
        config=config.to_dict(),
        tokenizer=made.meta.tokenizer,
        parameters=sum(bytes_by_part(config).values()) // FLOAT_BYTES,
        size_bytes=made.saved.size_bytes,
        sha256=made.saved.weights_sha256,
        base_model=made.meta.base_model,
        job_id=job.id,
        owner=job.owner,
        licence=made.meta.licence,
        datasets=lineage.datasets_of(session, job),
        ancestors=lineage.ancestors_of(session, made.meta.base_model),
        report=report,
    )
    session.add(row)
    if report is not None:
        job_table.keep_report(session, job.id, report)


def put_in_place(storage: Storage, job: JobRow, made: Staged) -> None:
    """Move the folder to where the model's files lie: the last thing in that transaction, by the job's holder alone."""
    publish(made.folder, storage.model(job.name))
