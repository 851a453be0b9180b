"""A job like another: what that one was asked for, with changes. Checked as any other request is."""

from __future__ import annotations

from typing import Any

from app.db.tables.job import JobRow
from app.schemas.job import LENGTHS, JobChanges, JobCreate
from app.services import jobs
from app.services.jobs import Created
from app.services.runtime import Runtime
from app.services.word2vec_checks import words_of


def duplicate(runtime: Runtime, job_id: str, changes: JobChanges, idempotency_key: str | None = None) -> Created:
    """Queue a new job that does what `job_id` was asked to do, from the start, but for the changes.

    Args:
        idempotency_key: as for a new job; its body is what that one is asked for.

    Raises:
        JobNotFound: there is none of that id.
        AppError: as for a new job.
    """
    with runtime.database.read() as session:
        row = jobs.read(session, job_id)
    changed = changes.model_dump(exclude_unset=True)
    train = changed.pop("train", {})
    columns = changed.pop("columns", {})
    asked = request_of(row)
    if _brings_tokenizer(row, changed):
        del asked["tokenizer"]
    kept = {
        name: value for name, value in asked["train"].items() if not (name in LENGTHS and set(LENGTHS) & set(train))
    }
    return jobs.create(
        runtime,
        JobCreate.model_validate(asked | changed | {"train": kept | train, "columns": asked["columns"] | columns}),
        idempotency_key,
    )


def _brings_tokenizer(row: JobRow, changed: dict[str, Any]) -> bool:
    """Whether the new job's tokenizer follows from what it is asked for otherwise.

    What goes on from a model keeps that one's own. Word vectors of another text are learnt with that text's words,
    unless the tokenizer was named.
    """
    if "dataset" in changed and row.recipe == "word2vec":
        return row.tokenizer == words_of(row.datasets[0]["dataset"])
    return isinstance(changed.get("model", row.model.get("name")), str)


def request_of(row: JobRow) -> dict[str, Any]:
    """The body of `POST /jobs` that asks for this job once more, under a name that is made up."""
    only = row.datasets[0]
    is_one = len(row.datasets) == 1 and only["weight"] == 1.0 and "column" not in only
    return {
        "recipe": row.recipe,
        "dataset": only["dataset"] if is_one else row.datasets,
        "model": row.model.get("name") or row.model,
        "tokenizer": row.tokenizer,
        "validation": validation_of(row),
        "test": row.validation.get("test"),
        "columns": row.columns,
        "train": row.train,
        "device": row.device,
        "devices": row.devices,
        "priority": row.priority,
        "seed": row.seed,
    }


def validation_of(row: JobRow) -> float | str | dict[str, Any]:
    """What a job measures on, as it is asked for: a share, a dataset, or a column of one."""
    if "column" in row.validation:
        return {name: row.validation[name] for name in ("dataset", "column")}
    dataset: str | None = row.validation.get("dataset")
    return row.validation["fraction"] if dataset is None else dataset
