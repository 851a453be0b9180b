"""What an evaluation found for a row with a model: written as it comes, so that a job goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ForeignKey, UniqueConstraint, and_, delete, insert, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now

ROWS_IN_A_QUERY = 500  # databases limit what one statement names


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


@dataclass(frozen=True)
class Sought:
    """Which rows a list is to show, by what one of the models made of them; nothing said: all."""

    place: int = 0  # of the model
    reference: str | None = None
    answer: str | None = None
    classes: tuple[str, str] | None = None  # with a threshold
    threshold: float | None = None  # from which probability on the second of two classes is told


EVERY = Sought()


def side_by_side(
    session: Session, job_id: str, after: int, limit: int, sought: Sought = EVERY
) -> list[list[ResultRow]]:
    """Of up to `limit` rows behind `after`, the results of all models, in their order."""
    numbers = select(ResultRow.row).where(ResultRow.job_id == job_id, ResultRow.row > after, *_conditions(sought))
    wanted = list(session.scalars(numbers.distinct().order_by(ResultRow.row).limit(limit)))
    found: dict[int, list[ResultRow]] = {number: [] for number in wanted}
    for first in range(0, len(wanted), ROWS_IN_A_QUERY):
        some = ResultRow.row.in_(wanted[first : first + ROWS_IN_A_QUERY])
        query = select(ResultRow).where(ResultRow.job_id == job_id, some)
        for each in session.scalars(query.order_by(ResultRow.row, ResultRow.place)):
            found[each.row].append(each)
    return list(found.values())


def _conditions(sought: Sought) -> list[ColumnElement[bool]]:
    if sought == EVERY:
        return []
    found = [ResultRow.place == sought.place]
    if sought.reference is not None:
        found.append(ResultRow.reference == sought.reference)
    if sought.answer is not None:
        found.append(_told(sought, sought.answer))
    return found


def _told(sought: Sought, answer: str) -> ColumnElement[bool]:
    """That the model told this, or would have with the threshold: what it told has the probability `confidence`."""
    if sought.classes is None or sought.threshold is None:
        return ResultRow.answer == answer
    first, second = sought.classes
    confidence = ResultRow.figures["confidence"].as_float()
    is_second = or_(
        and_(ResultRow.answer == second, confidence >= sought.threshold),
        and_(ResultRow.answer == first, 1.0 - confidence >= sought.threshold),
    )
    return is_second if answer == second else ~is_second
