"""What a job needs and must not lose: its texts, its tokenizer, the model or checkpoint that it goes on from."""

from __future__ import annotations

from sqlalchemy.orm import Session

from app.db.tables import checkpoint, dataset, job_list, model, tokenizer
from app.db.tables import job as rows
from app.db.tables.job import JobRow
from app.errors import CheckpointNotFound, Conflict, ModelNotFound, TokenizerNotFound
from app.services import adapting, datasets
from app.services.model_files import BUILT_IN
from app.services.tokenizers import is_built_in


def hold(session: Session, row: JobRow) -> None:
    """Keep the texts, and the models that the job needs, there until the transaction ends.

    What each model is, is noted when it is held first: one that takes its name later is no longer what was asked for.

    Raises:
        DatasetNotFound, ModelNotFound, CheckpointNotFound: one of them is gone.
        Conflict: a model was replaced by another of its name.
    """
    needed = {(entry["dataset"], "dataset") for entry in row.datasets}
    if "dataset" in row.validation:
        needed.add((row.validation["dataset"], "validation"))
    for dataset_id, param in sorted(needed):
        if dataset.lock(session, dataset_id) is None:
            datasets.read(session, dataset_id, param)
    base = row.model.get("name")
    own = [("model", base)] if base is not None and _needs_base(session, row) else []
    found: dict[str, str] = {}
    for param, name in own + other_models(row):
        found[name] = _held(session, name, param)
        check_same(row, name, found[name], param)
    row.model_versions = found | (row.model_versions or {})


def _needs_base(session: Session, row: JobRow) -> bool:
    """Whether the job needs what it goes on from: with a checkpoint of its own most do not.

    An adapter stands beside its base, and what is preferred is compared with the network that the job began with.
    """
    is_beside = bool(row.train.get("lora")) and row.recipe in adapting.RECIPES
    return is_beside or row.recipe == "dpo" or not checkpoint.of_job(session, row.id)


def check_same(row: JobRow, name: str, version: str, param: str = "model") -> None:
    """Pass a model or checkpoint that is what it was when the job was asked for.

    Raises:
        Conflict: another one has its name.
    """
    if (row.model_versions or {}).get(name, version) != version:
        told = f"{name!r} is another one than when {row.id} was asked for (its sha256 differs)"
        raise Conflict(f"{param}: {told}; ask for another job like it: POST /jobs/{row.id}/duplicate", param=param)


def _held(session: Session, name: str, param: str) -> str:
    """Keep a model or checkpoint there until the transaction ends; its version, as `model_files.Place` has it.

    Raises:
        ModelNotFound, CheckpointNotFound: it is gone.
    """
    if name in BUILT_IN:
        return BUILT_IN[name].sha256
    if "@" in name:
        # Its job's row is what retention holds, too: once both are seen, it stays.
        made_by = rows.lock(session, name.rpartition("@")[0])
        saved = None if made_by is None else job_list.checkpoint_named(session, name)
        if saved is None:
            raise CheckpointNotFound(f"{param}: there is no checkpoint {name!r} any more", param=param)
        return saved.sha256
    held = model.lock(session, name)
    if held is None:
        raise ModelNotFound(f"{param}: there is no model {name!r} any more", param=param)
    return held.sha256


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
