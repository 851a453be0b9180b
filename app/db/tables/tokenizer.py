"""A tokenizer built here from a dataset: the row and its queries. Its vocabulary lies in a file beside."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


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
    created_at: Mapped[float] = mapped_column(insert_default=db_now())


def get(session: Session, name: str) -> TokenizerRow | None:
    return session.get(TokenizerRow, name)


def lock(session: Session, name: str) -> TokenizerRow | None:
    """The row as it is now; nobody deletes it, or makes a job with it, until the transaction ends."""
    return session.scalar(select(TokenizerRow).where(TokenizerRow.name == name).with_for_update())


def by_name(session: Session) -> list[TokenizerRow]:
    return list(session.scalars(select(TokenizerRow).order_by(TokenizerRow.name)))
