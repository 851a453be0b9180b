"""A stored network: the row and its queries. The network that ships has no row; services/models.py adds it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now


class ModelRow(Base):
    __tablename__ = "models"

    name: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str]  # gpt2 | llama
    config: Mapped[dict[str, Any]]  # ModelConfig.to_dict()
    tokenizer: Mapped[str]
    parameters: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]  # of model.safetensors
    base_model: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id"), index=True)
    created_at: Mapped[float] = mapped_column(insert_default=db_now())


def get(session: Session, name: str) -> ModelRow | None:
    return session.get(ModelRow, name)


def newest_first(session: Session) -> list[ModelRow]:
    return list(session.scalars(select(ModelRow).order_by(ModelRow.created_at.desc(), ModelRow.name)))


def with_tokenizer(session: Session, tokenizer: str) -> list[str]:
    """Names of the models that read and write with a tokenizer."""
    return list(session.scalars(select(ModelRow.name).where(ModelRow.tokenizer == tokenizer).order_by(ModelRow.name)))
