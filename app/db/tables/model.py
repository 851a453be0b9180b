"""A stored network: the row and its queries. The network that ships has no row; services/models.py adds it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Select, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from app.db.base import Base, db_now
from app.db.owned import visible


class ModelRow(Base):
    __tablename__ = "models"

    name: Mapped[str] = mapped_column(primary_key=True)
    family: Mapped[str]  # gpt2 | llama | word2vec | classifier | adapter
    config: Mapped[dict[str, Any]]  # to_dict() of the family's configuration
    tokenizer: Mapped[str]
    parameters: Mapped[int] = mapped_column(BigInteger)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]  # of model.safetensors
    base_model: Mapped[str | None]
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    owner: Mapped[str | None]  # the id of the key that brought it, or whose job made it; None: it is there for all
    source: Mapped[str] = mapped_column(default="job", server_default="job")  # job | import
    licence: Mapped[str | None]
    origin: Mapped[dict[str, Any] | None]  # of an import: where its files came from, with their hashes
    datasets: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")  # it was trained on
    report: Mapped[dict[str, Any] | None]  # of its job, on what was held out
    ancestors: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")  # nearest first


def get(session: Session, name: str) -> ModelRow | None:
    """The row; another key's is none, here and in lists."""
    return session.scalar(_one(session, name))


def lock(session: Session, name: str) -> ModelRow | None:
    """The row as it is now; nobody deletes it, or makes a job of it, until the transaction ends."""
    return session.scalar(_one(session, name).with_for_update())


def _one(session: Session, name: str) -> Select[ModelRow]:
    return select(ModelRow).where(ModelRow.name == name, visible(session, ModelRow.owner))


def is_taken(session: Session, name: str) -> bool:
    """Whether there is a model of this name, whosever it is."""
    return session.scalar(select(ModelRow.name).where(ModelRow.name == name)) is not None


def newest_first(session: Session) -> list[ModelRow]:
    query = select(ModelRow).where(visible(session, ModelRow.owner))
    return list(session.scalars(query.order_by(ModelRow.created_at.desc(), ModelRow.name)))


def adapters_of(session: Session, base: str) -> list[str]:
    """Names of the adapters that stand beside a model, whosever they are."""
    chosen = select(ModelRow.name).where(ModelRow.family == "adapter", ModelRow.base_model == base)
    return list(session.scalars(chosen.order_by(ModelRow.name)))


def with_tokenizer(session: Session, tokenizer: str) -> list[str]:
    """Names of the models that read and write with a tokenizer, whosever they are."""
    return list(session.scalars(select(ModelRow.name).where(ModelRow.tokenizer == tokenizer).order_by(ModelRow.name)))
