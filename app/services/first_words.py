"""What a job's checkpoints are asked about where nobody says: the prompt of its samples, or its data's first words."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from app.db.tables.job import JobRow
from app.errors import DataMissing, DatasetNotFound
from app.services.job_rows import JobRows
from app.services.storage import Storage

MOST_CHARACTERS = 200
WITHOUT_DATA = "The"
_ROLES = ("text", "instruction", "prompt", "question", "messages")
"""Of the columns that a job reads, those that hold what is put to it."""


def of_job(session: Session, storage: Storage, job: JobRow) -> str:
    """The prompt of the job's samples; else the beginning of its first row; of data that is gone "The"."""
    if job.train.get("sample_prompt"):
        return str(job.train["sample_prompt"])
    columns = [job.columns[role] for role in _ROLES if role in job.columns]
    try:
        first = next(JobRows.of_job(session, job).lines(storage, "dataset", most_bytes=1), None)
    except (DatasetNotFound, DataMissing):
        return WITHOUT_DATA
    values = first.values if first is not None else {}
    found = (_words(values[column]) for column in columns if column in values)
    return next((words for words in found if words), WITHOUT_DATA)


def _words(value: Any) -> str:
    """The beginning of a text, or of the first that a person says in a dialogue."""
    if isinstance(value, list):
        said = (turn.get("content") for turn in value if isinstance(turn, dict) and turn.get("role") == "user")
        value = next(said, None)
    return value.strip()[:MOST_CHARACTERS].strip() if isinstance(value, str) else ""
