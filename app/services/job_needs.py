"""What a job needs and must not lose: its texts, its tokenizer, the model or checkpoint that it goes on from."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.db.tables import checkpoint, dataset, model, tokenizer
from app.db.tables import job as rows
from app.db.tables.job import JobRow
from app.errors import CheckpointNotFound, ModelNotFound, TokenizerNotFound
from app.services import datasets
from app.services.model_files import BUILT_IN
from app.services.tokenizers import is_built_in


def hold(session: Session, row: JobRow, *, starts: bool = True) -> None:
    """Keep the texts, and what the job starts from, there until the transaction ends.

    Args:
        starts: False for a job with a checkpoint of its own, which needs no other's.

    Raises:
        DatasetNotFound, ModelNotFound, CheckpointNotFound: one of them is gone.
    """
    needed = {(entry["dataset"], "dataset") for entry in row.datasets}
    if "dataset" in row.validation:
        needed.add((row.validation["dataset"], "validation"))
    for dataset_id, param in sorted(needed):
        if dataset.lock(session, dataset_id) is None:
            datasets.read(session, dataset_id, param)
    base = row.model.get("name")
    if base is None or base in BUILT_IN or not starts:
        return
    if "@" in base:
        # Its job's row is what retention holds, too: once both are seen, it stays.
        if rows.lock(session, base.rpartition("@")[0]) is None or checkpoint.named(session, base) is None:
            raise CheckpointNotFound(f"model: there is no checkpoint {base!r} any more", param="model")
    elif model.lock(session, base) is None:
        raise ModelNotFound(f"model: there is no model {base!r} any more", param="model")


def hold_tokenizer(session: Session, name: str) -> None:
    """Keep a tokenizer there until the transaction ends.

    Raises:
        TokenizerNotFound: it is gone.
    """
    if not is_built_in(name) and tokenizer.lock(session, name) is None:
        raise TokenizerNotFound(f"tokenizer: there is no tokenizer {name!r} any more", param="tokenizer")


def needed_of(session: Session, job_id: str) -> set[str]:
    """Ids of this job's checkpoints that unfinished jobs go on from."""
    named = {str(row.model.get("name", "")) for row in rows.live(session) if row.id != job_id}
    return {name for name in named if name.startswith(f"{job_id}@")}


def who_goes_on_from(session: Session, job_id: str) -> JobRow | None:
    """An unfinished job that goes on from a checkpoint of this one."""
    for row in rows.live(session):
        if row.id != job_id and str(row.model.get("name", "")).startswith(f"{job_id}@"):
            return row
    return None
