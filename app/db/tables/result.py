"""What an evaluation found for a row with a model: written as it comes, so that a job goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ForeignKey, UniqueConstraint, delete, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class ResultRow(Base):
    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("job_id", "row", "place"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    row: Mapped[int]  # line of a dataset of rows; window of a text, from 1
    place: Mapped[int]  # of the model among those of the job
    model: Mapped[str]
    prompt: Mapped[str | None]
    reference: Mapped[str | None]
    answer: Mapped[str | None]
    score: Mapped[float | None]
    verdict: Mapped[str | None]
    figures: Mapped[dict[str, Any]] = mapped_column(default=dict)
    judgements: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    error: Mapped[str | None]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())


def store(session: Session, job_id: str, place: int, found: Sequence[dict[str, Any]]) -> None:
    """Add results of one job with one model; one of the same row takes the place of the earlier."""
    if not found:
        return
    again = ResultRow.row.in_([each["row"] for each in found])
    session.execute(delete(ResultRow).where(ResultRow.job_id == job_id, ResultRow.place == place, again))
    session.execute(insert(ResultRow), [{**each, "job_id": job_id, "place": place} for each in found])


def judge(session: Session, job_id: str, row: int, place: int, said: dict[str, Any]) -> None:
    """Write down what the judge said: `score`, `verdict`, `judgements`."""
    same = (ResultRow.job_id == job_id, ResultRow.row == row, ResultRow.place == place)
    session.execute(update(ResultRow).where(*same).values(**said))


def done(session: Session, job_id: str, place: int) -> set[int]:
    """Rows that there are results of, with one model."""
    return set(session.scalars(select(ResultRow.row).where(ResultRow.job_id == job_id, ResultRow.place == place)))


def of_model(session: Session, job_id: str, place: int, after: int, limit: int) -> list[ResultRow]:
    """Results of rows behind `after` with one model, in the order of rows."""
    query = select(ResultRow).where(ResultRow.job_id == job_id, ResultRow.place == place, ResultRow.row > after)
    return list(session.scalars(query.order_by(ResultRow.row).limit(limit)))


def side_by_side(session: Session, job_id: str, after: int, limit: int) -> list[list[ResultRow]]:
    """Of up to `limit` rows behind `after`, the results of all models, in their order."""
    numbers = select(ResultRow.row).where(ResultRow.job_id == job_id, ResultRow.row > after).distinct()
    wanted = list(session.scalars(numbers.order_by(ResultRow.row).limit(limit)))
    if not wanted:
        return []
    query = select(ResultRow).where(ResultRow.job_id == job_id, ResultRow.row > after, ResultRow.row <= wanted[-1])
    found: dict[int, list[ResultRow]] = {number: [] for number in wanted}
    for each in session.scalars(query.order_by(ResultRow.row, ResultRow.place)):
        found.setdefault(each.row, []).append(each)
    return list(found.values())
