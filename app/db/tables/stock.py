"""How much there is of each thing, counted by the database."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.db.base import db_now
from app.db.owned import is_own
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.dataset import DatasetRow
from app.db.tables.job import JobRow
from app.db.tables.model import ModelRow


@dataclass(frozen=True)
class Stock:
    """Rows, and the bytes of their files."""

    count: int
    size_bytes: int


def jobs_by_status(session: Session) -> dict[str, int]:
    """Only of the states that any job is in."""
    query = select(JobRow.status, func.count()).group_by(JobRow.status)
    return dict(session.execute(query).all())


def longest_wait_s(session: Session) -> float:
    """For how long the oldest of the jobs that may run now has been able to; 0 where none waits."""
    due = case((JobRow.not_before > JobRow.created_at, JobRow.not_before), else_=JobRow.created_at)
    found = session.scalar(select(db_now() - func.min(due)).where(JobRow.status == "queued", due <= db_now()))
    return float(found or 0.0)


def kept(session: Session) -> dict[str, Stock]:
    """Datasets, models and checkpoints that have a row: of what ships, the datasets."""
    sizes: dict[str, InstrumentedAttribute[int]] = {
        "datasets": DatasetRow.size_bytes,
        "models": ModelRow.size_bytes,
        "checkpoints": CheckpointRow.size_bytes,
    }
    return {name: _stock(session, size) for name, size in sizes.items()}


def own_unfinished_jobs(session: Session) -> int:
    """Of the session's key, those that run or wait to; what is paused holds nothing up."""
    is_counted = JobRow.status.in_(("validating_files", "queued", "running"))
    return (
        session.scalar(select(func.count()).select_from(JobRow).where(is_counted, is_own(session, JobRow.owner))) or 0
    )


def own_bytes(session: Session) -> int:
    """Of the session's key, what its datasets, models, and its jobs' checkpoints take."""
    of_datasets = select(func.sum(DatasetRow.size_bytes + func.coalesce(DatasetRow.original_bytes, 0)))
    of_checkpoints = select(func.sum(CheckpointRow.size_bytes)).join(JobRow, JobRow.id == CheckpointRow.job_id)
    queries = (
        of_datasets.where(is_own(session, DatasetRow.owner)),
        select(func.sum(ModelRow.size_bytes)).where(is_own(session, ModelRow.owner)),
        of_checkpoints.where(is_own(session, JobRow.owner)),
    )
    return sum(int(session.scalar(query) or 0) for query in queries)


def _stock(session: Session, size: InstrumentedAttribute[int]) -> Stock:
    count, size_bytes = session.execute(select(func.count(size), func.coalesce(func.sum(size), 0))).one()
    return Stock(count, int(size_bytes))
