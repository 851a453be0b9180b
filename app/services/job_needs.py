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
    if base is not None and starts:
        hold_model(session, base, "model")
    for param, name in other_models(row):
        hold_model(session, name, param)


def hold_model(session: Session, name: str, param: str) -> None:
    """Keep a model or checkpoint there until the transaction ends.

    Raises:
        ModelNotFound, CheckpointNotFound: it is gone.
    """
    if name in BUILT_IN:
        return
    if "@" in name:
        # Its job's row is what retention holds, too: once both are seen, it stays.
        if rows.lock(session, name.rpartition("@")[0]) is None or checkpoint.named(session, name) is None:
            raise CheckpointNotFound(f"{param}: there is no checkpoint {name!r} any more", param=param)
    elif model.lock(session, name) is None:
        raise ModelNotFound(f"{param}: there is no model {name!r} any more", param=param)


def other_models(row: JobRow) -> list[tuple[str, str]]:
    """What an evaluation needs beside `model`, each with the field that names it."""
    if row.evaluate is None:
        return []
    found = [(f"evaluate.against.{place}", name) for place, name in enumerate(row.evaluate["against"])]
    judge = row.evaluate.get("judge")
    return found + ([("evaluate.judge.model", judge["model"])] if judge and judge["url"] is None else [])


def models_of(row: JobRow) -> set[str]:
    """Names of all models and checkpoints that a job needs."""
    return {str(row.model.get("name", "")), *(name for _, name in other_models(row))}


def hold_tokenizer(session: Session, name: str) -> None:
    """Keep a tokenizer there until the transaction ends.

    Raises:
        TokenizerNotFound: it is gone.
    """
    if not is_built_in(name) and tokenizer.lock(session, name) is None:
        raise TokenizerNotFound(f"tokenizer: there is no tokenizer {name!r} any more", param="tokenizer")


def needed_of(session: Session, job_id: str) -> set[str]:
    """Ids of this job's checkpoints that unfinished jobs go on from."""
    named = {name for row in rows.live(session) if row.id != job_id for name in models_of(row)}
    return {name for name in named if name.startswith(f"{job_id}@")}


def who_goes_on_from(session: Session, job_id: str) -> JobRow | None:
    """An unfinished job that goes on from a checkpoint of this one."""
    for row in rows.live(session):
        if row.id != job_id and any(name.startswith(f"{job_id}@") for name in models_of(row)):
            return row
    return None
