"""A branch of generated text: where it leaves another, and the tokens it goes on with. The row and its queries.

A branch that leaves none is the first of its tree, and has what was asked. A line is what is read from the first
token to a branch's end: of each branch before it the first `at` tokens of its line, then the branch's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ForeignKey, Select, func, select
from sqlalchemy.orm import Mapped, Session, defer, mapped_column

from app.db.base import Base, db_now
from app.db.owned import visible


class BranchRow(Base):
    __tablename__ = "branches"

    id: Mapped[str] = mapped_column(primary_key=True)
    tree: Mapped[str] = mapped_column(index=True)  # the id of its first branch
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("branches.id", ondelete="CASCADE"), index=True)
    at: Mapped[int]  # tokens of the parent's line that are its, too
    length: Mapped[int]  # tokens of its line
    owner: Mapped[str | None]  # the id of the key that kept it; None: it is there for all
    model: Mapped[str]
    opening: Mapped[str]  # the beginning of what was asked, to be listed; "" of a branch that leaves another
    excerpt: Mapped[str]  # the beginning of its own text
    sampling: Mapped[dict[str, Any]]
    finish_reason: Mapped[str]
    created_at: Mapped[float] = mapped_column(insert_default=db_now())
    size_bytes: Mapped[int]  # of what follows, which may be long and is read of one line at a time
    asked: Mapped[dict[str, Any] | None]  # of a tree's first branch: prompt, or messages
    tokens: Mapped[list[dict[str, Any]]]  # its own


@dataclass(frozen=True)
class Held:
    """How many branches there are, and the bytes of their tokens and prompts."""

    branches: int
    size_bytes: int


_WITHOUT_TEXT = (defer(BranchRow.asked, raiseload=True), defer(BranchRow.tokens, raiseload=True))


def get(session: Session, branch_id: str) -> BranchRow | None:
    """The row, but for what was asked and its tokens. Another key's is none, here and in lists."""
    return session.scalar(_one(session, branch_id))


def lock(session: Session, branch_id: str) -> BranchRow | None:
    """As `get`; nobody deletes it until the transaction ends."""
    return session.scalar(_one(session, branch_id).with_for_update())


def _one(session: Session, branch_id: str) -> Select[BranchRow]:
    chosen = select(BranchRow).where(BranchRow.id == branch_id, visible(session, BranchRow.owner))
    return chosen.options(*_WITHOUT_TEXT)


def held(session: Session, tree: str | None = None) -> Held:
    """All of them, or those of a tree, whosever they are."""
    query = select(func.count(), func.coalesce(func.sum(BranchRow.size_bytes), 0)).select_from(BranchRow)
    branches, size_bytes = session.execute(query if tree is None else query.where(BranchRow.tree == tree)).one()
    return Held(branches, int(size_bytes))


def of_tree(session: Session, tree: str, after_id: str | None, limit: int) -> list[BranchRow]:
    """Branches of a tree without their text, in the order they were made; those behind `after_id`."""
    is_seen = visible(session, BranchRow.owner)
    query = select(BranchRow).where(BranchRow.tree == tree, is_seen).order_by(BranchRow.id).limit(limit)
    if after_id is not None:
        query = query.where(BranchRow.id > after_id)
    return list(session.scalars(query.options(*_WITHOUT_TEXT)))


def trees(session: Session, before_id: str | None, limit: int) -> list[BranchRow]:
    """The first branches of trees without their text, newest first; those older than `before_id`."""
    is_seen = visible(session, BranchRow.owner)
    query = select(BranchRow).where(BranchRow.parent_id.is_(None), is_seen).order_by(BranchRow.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(BranchRow.id < before_id)
    return list(session.scalars(query.options(*_WITHOUT_TEXT)))


def sizes(session: Session, tree_ids: Sequence[str]) -> dict[str, int]:
    """How many branches each of some trees has."""
    is_seen = visible(session, BranchRow.owner)
    query = select(BranchRow.tree, func.count()).where(BranchRow.tree.in_(tree_ids), is_seen).group_by(BranchRow.tree)
    return dict(session.execute(query).all())


def places(session: Session, tree: str) -> dict[str, tuple[str | None, int]]:
    """Of each branch of a tree: which one it leaves, and behind how many tokens of that one's line."""
    query = select(BranchRow.id, BranchRow.parent_id, BranchRow.at).where(BranchRow.tree == tree)
    return {id_: (parent_id, at) for id_, parent_id, at in session.execute(query)}


def texts(session: Session, ids: Sequence[str]) -> dict[str, tuple[dict[str, Any] | None, list[dict[str, Any]]]]:
    """What was asked, and the own tokens, of some branches."""
    query = select(BranchRow.id, BranchRow.asked, BranchRow.tokens).where(BranchRow.id.in_(ids))
    return {id_: (asked, tokens) for id_, asked, tokens in session.execute(query)}
