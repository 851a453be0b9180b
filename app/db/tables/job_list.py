"""Jobs as they are listed: the newest first, all of them or those that are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.db.owned import visible
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow


@dataclass(frozen=True)
class Wanted:
    """Which jobs a list is to show; nothing said: all."""

    status: tuple[str, ...] = ()
    recipes: tuple[str, ...] = ()
    model: str | None = None  # that the job makes, or goes on from
    dataset: str | None = None  # that it learns from or measures on
    metadata: dict[str, str] | None = None  # pairs among what clients have noted; empty: nothing is noted
    only: Callable[[JobRow], bool] | None = None  # asked of each row that all else lets through


EVERY = Wanted()


def newest_first(session: Session, after_id: str | None, limit: int, wanted: Wanted = EVERY) -> list[JobRow]:
    """Rows older than `after_id`; ids sort by the time they were made."""
    query = select(JobRow).where(visible(session, JobRow.owner)).order_by(JobRow.id.desc())
    if after_id is not None:
        query = query.where(JobRow.id < after_id)
    if wanted.status:
        query = query.where(JobRow.status.in_(wanted.status))
    if wanted.recipes:
        query = query.where(JobRow.recipe.in_(wanted.recipes))
    if wanted.model is not None:
        goes_on_from = JobRow.model["name"].as_string()
        query = query.where(or_(JobRow.name == wanted.model, goes_on_from == wanted.model))
    if wanted.metadata is None and wanted.dataset is None and wanted.only is None:
        return list(session.scalars(query.limit(limit)))
    # Keys are what clients like, which not every database can have in a path, and lists lie in JSON: rows are looked at
    # one by one.
    with session.scalars(query, execution_options={"yield_per": 100}) as found:
        return list(islice((row for row in found if _is_wanted(row, wanted)), limit))


def _is_wanted(row: JobRow, wanted: Wanted) -> bool:
    if wanted.dataset is not None and wanted.dataset not in datasets_of(row):
        return False
    if wanted.only is not None and not wanted.only(row):
        return False
    if wanted.metadata is None:
        return True
    noted = row.client_metadata or {}
    return wanted.metadata.items() <= noted.items() if wanted.metadata else not noted


def datasets_of(row: JobRow) -> set[str]:
    """Ids of all that a job reads: what it learns from or measures on, and what is kept apart to measure on."""
    kept_apart = {row.validation["dataset"]} if "dataset" in row.validation else set()
    return {entry["dataset"] for entry in row.datasets} | kept_apart


def checkpoint_named(session: Session, checkpoint_id: str) -> CheckpointRow | None:
    """The one of an id such as `job_…@100`; one of another key's job is none."""
    query = select(CheckpointRow).join(JobRow, JobRow.id == CheckpointRow.job_id)
    return session.scalar(query.where(CheckpointRow.id == checkpoint_id, visible(session, JobRow.owner)))


def newest_checkpoints(session: Session, recipes: Iterable[str], limit: int) -> list[tuple[CheckpointRow, str]]:
    """Up to `limit` checkpoints of jobs of these recipes, newest first, each with its job's name."""
    query = select(CheckpointRow, JobRow.name).join(JobRow, JobRow.id == CheckpointRow.job_id)
    query = query.where(JobRow.recipe.in_(list(recipes)), visible(session, JobRow.owner))
    query = query.order_by(CheckpointRow.created_at.desc(), CheckpointRow.step.desc()).limit(limit)
    return [(row, name) for row, name in session.execute(query)]
