"""A dataset: the row and its queries. Its bytes lie in a file named by the id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Select, select, tuple_
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now
from app.db.owned import visible


class DatasetRow(Base):
    __tablename__ = "datasets"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[str]  # text | what its rows are: see llm/data/columns.py
    format: Mapped[str]  # txt | jsonl | csv | parquet, as sent
    compression: Mapped[str | None]  # as sent: gzip | zstd
    source: Mapped[str]  # upload | builtin
    purpose: Mapped[str] = mapped_column(default="fine-tune", server_default="fine-tune")  # see schemas/openai_files
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    original_bytes: Mapped[int | None] = mapped_column(BigInteger)  # as sent, where that is kept beside the rows
    characters: Mapped[int] = mapped_column(BigInteger)  # of all texts in it
    rows: Mapped[int | None] = mapped_column(BigInteger)  # None: a text
    columns: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    sha256: Mapped[str]
    owner: Mapped[str | None]  # the id of the key that sent it; None: it is there for all
    report: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())

    @property
    def label(self) -> str:
        """What people are told of it: the name they gave it, and the id it is asked for by."""
        return f"{self.name} ({self.id})"


def get(session: Session, dataset_id: str) -> DatasetRow | None:
    """The row; another key's is none, here and in lists."""
    return session.scalar(_one(session, dataset_id))


def lock(session: Session, dataset_id: str) -> DatasetRow | None:
    """The row as it is now; nobody deletes it, or makes a job of it, until the transaction ends."""
    return session.scalar(_one(session, dataset_id).with_for_update())


def _one(session: Session, dataset_id: str) -> Select[DatasetRow]:
    return select(DatasetRow).where(DatasetRow.id == dataset_id, visible(session, DatasetRow.owner))


@dataclass(frozen=True)
class Order:
    """Which datasets a list is to show, and which first; nothing said: all, the newest first."""

    purpose: str | None = None
    oldest_first: bool = False


NEWEST_FIRST = Order()


def in_order(session: Session, last: DatasetRow | None, limit: int, order: Order = NEWEST_FIRST) -> list[DatasetRow]:
    """Rows behind `last`; None: from the first on."""
    place = tuple_(DatasetRow.created_at, DatasetRow.id)
    columns = (DatasetRow.created_at, DatasetRow.id)
    query = select(DatasetRow).where(visible(session, DatasetRow.owner)).limit(limit)
    query = query.order_by(*columns) if order.oldest_first else query.order_by(*(each.desc() for each in columns))
    if last is not None:
        before = (last.created_at, last.id)
        query = query.where(place > before if order.oldest_first else place < before)
    if order.purpose is not None:
        query = query.where(DatasetRow.purpose == order.purpose)
    return list(session.scalars(query))
