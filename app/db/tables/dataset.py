"""A dataset: the row and its queries. Its bytes lie in a file named by the id."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class DatasetRow(Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]  # text | what its rows are: see llm/data/columns.py
    format: Mapped[str]  # txt | jsonl | csv | parquet, as sent
    compression: Mapped[str | None]  # as sent: gzip | zstd
    source: Mapped[str]  # upload | builtin
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    characters: Mapped[int] = mapped_column(BigInteger)  # of all texts in it
    rows: Mapped[int | None] = mapped_column(BigInteger)  # None: a text
    columns: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    sha256: Mapped[str]
    report: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())


def get(session: Session, dataset_id: str) -> DatasetRow | None:
    return session.get(DatasetRow, dataset_id)


def lock(session: Session, dataset_id: str) -> DatasetRow | None:
    """The row as it is now; nobody deletes it, or makes a job of it, until the transaction ends."""
    return session.scalar(select(DatasetRow).where(DatasetRow.id == dataset_id).with_for_update())


def newest_first(session: Session, last: DatasetRow | None, limit: int) -> list[DatasetRow]:
    """Rows older than `last`; None: from the newest on."""
    query = select(DatasetRow).order_by(DatasetRow.created_at.desc(), DatasetRow.id.desc()).limit(limit)
    if last is not None:
        query = query.where(tuple_(DatasetRow.created_at, DatasetRow.id) < (last.created_at, last.id))
    return list(session.scalars(query))
