"""What a dataset is for, as far as is remembered: jobs that read it, models and tokenizers that were made of it."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.tables import job_list
from app.db.tables import model as model_table
from app.db.tables import tokenizer as tokenizer_table
from app.db.tables.job import JobRow
from app.db.tables.job_list import Wanted

MAX_JOBS = 50


@dataclass(frozen=True)
class Uses:
    """Jobs newest first, `MAX_JOBS` of them at most; names of models and tokenizers."""

    jobs: list[JobRow]
    has_more_jobs: bool
    models: list[str]
    tokenizers: list[str]


def of(session: Session, dataset_id: str) -> Uses:
    """All that is known to use a dataset, or to come from it."""
    jobs = job_list.newest_first(session, None, MAX_JOBS + 1, Wanted(dataset=dataset_id))
    models = [
        row.name
        for row in model_table.newest_first(session)
        if dataset_id in {entry["dataset"] for entry in row.datasets}
    ]
    tokenizers = [row.name for row in tokenizer_table.by_name(session) if row.dataset_id == dataset_id]
    return Uses(jobs[:MAX_JOBS], len(jobs) > MAX_JOBS, models, tokenizers)
