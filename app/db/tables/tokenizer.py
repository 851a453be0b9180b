"""A tokenizer built here from a dataset: the row and its queries. Its vocabulary lies in a file beside."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Select, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship, selectinload

from app.db.base import Base, db_now
from app.db.owned import visible
from app.db.tables.dataset import DatasetRow


class TokenizerRow(Base):
    __tablename__ = "tokenizers"

    name: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]  # word | bpe | imported
    version: Mapped[int | None]  # the word tokenizer's 1 or 2
    vocab_size: Mapped[int]
    special_tokens: Mapped[list[str]]
    trained_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of text that were read; unknown of the oldest ones
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"))
    sha256: Mapped[str]  # of the vocabulary file
    owner: Mapped[str | None]  # the id of the key that had it made; None: it is there for all
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    dataset: Mapped[DatasetRow | None] = relationship(viewonly=True)


def get(session: Session, name: str) -> TokenizerRow | None:
    """The row; another key's is none, here and in lists."""
    return session.scalar(_one(session, name))


def lock(session: Session, name: str) -> TokenizerRow | None:
    """The row as it is now; nobody deletes it, or makes a job with it, until the transaction ends."""
    return session.scalar(_one(session, name).with_for_update())


def _one(session: Session, name: str) -> Select[TokenizerRow]:
    return select(TokenizerRow).where(TokenizerRow.name == name, visible(session, TokenizerRow.owner))


def is_taken(session: Session, name: str) -> bool:
    """Whether there is a tokenizer of this name, whosever it is."""
    return session.scalar(select(TokenizerRow.name).where(TokenizerRow.name == name)) is not None


def by_name(session: Session) -> list[TokenizerRow]:
    """All of them, each with its dataset."""
    query = select(TokenizerRow).where(visible(session, TokenizerRow.owner)).order_by(TokenizerRow.name)
    return list(session.scalars(query.options(selectinload(TokenizerRow.dataset))))
