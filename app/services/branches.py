"""Generated texts that are kept as trees: taken within limits, read line by line, deleted with what left them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.config import Settings
from app.db.base import new_id
from app.db.owned import owner_of_new
from app.db.session import Session
from app.db.tables import branch as rows
from app.db.tables.branch import BranchRow
from app.errors import BranchesFull, BranchNotFound, InvalidRequest, TooLarge
from app.schemas.branch import MAX_BRANCH_BYTES, MAX_TREE_BRANCHES, BranchIn
from app.services.ownership import check_may_change
from app.services.storage import NAME

SHOWN = 160  # characters of an opening and an excerpt


@dataclass(frozen=True)
class Line:
    """A branch, what its tree was asked, and all tokens from the tree's first to the branch's last."""

    row: BranchRow
    asked: dict[str, Any]
    tokens: list[dict[str, Any]]


def create(session: Session, settings: Settings, body: BranchIn) -> BranchRow:
    """Keep a branch.

    Raises:
        BranchNotFound: `parent` names none.
        InvalidRequest: `at` is behind the end of its line.
        TooLarge: more than one branch may have.
        BranchesFull: there are as many as there may be.
    """
    parent = None if body.parent is None else _locked(session, body.parent)
    at = body.at or 0
    if parent is not None and at > parent.length:
        raise InvalidRequest(f"at: the line of {parent.id} has {parent.length} tokens, not {at}", param="at")
    tokens = [each.model_dump() for each in body.tokens]
    asked = body.model_dump(include={"prompt", "messages"}, exclude_none=True)
    size_bytes = len(body.model_dump_json())
    _check_room(session, settings, size_bytes, parent)
    id_ = new_id("branch")
    row = BranchRow(
        id=id_,
        tree=id_ if parent is None else parent.tree,
        parent_id=body.parent,
        at=at,
        length=at + len(tokens),
        owner=owner_of_new(session),
        model=body.model,
        opening=_shown(_last_asked(body)),
        excerpt=_shown("".join(each.text for each in body.tokens)),
        sampling=body.sampling.model_dump(),
        finish_reason=body.finish_reason,
        size_bytes=size_bytes,
        asked=asked or None,
        tokens=tokens,
    )
    session.add(row)
    session.flush()
    return row


def read(session: Session, branch_id: str) -> Line:
    """A branch with its whole line.

    Raises:
        BranchNotFound: there is none of that id.
    """
    row = _found(session, branch_id)
    places = rows.places(session, row.tree)
    chain = [row.id]
    while (parent_id := places[chain[-1]][0]) is not None:
        chain.append(parent_id)
    texts = rows.texts(session, chain)
    tokens: list[dict[str, Any]] = []
    for each in reversed(chain):
        tokens = tokens[: places[each][1]] + texts[each][1]
    return Line(row, texts[row.tree][0] or {}, tokens)


def page(session: Session, tree: str | None, after: str | None, limit: int) -> tuple[list[BranchRow], bool]:
    """Branches of a tree, oldest first, or the first ones of all trees, newest first; and whether more follow.

    Raises:
        BranchNotFound: `tree` or `after` names none.
    """
    last = None if after is None else _found(session, after, param="after").id
    if tree is None:
        found = rows.trees(session, last, limit + 1)
    else:
        found = rows.of_tree(session, _found(session, tree, param="tree").tree, last, limit + 1)
    return found[:limit], len(found) > limit


def sizes(session: Session, found: Sequence[BranchRow]) -> dict[str, int]:
    """How many branches the tree of each has."""
    return rows.sizes(session, [row.tree for row in found])


def delete(session: Session, branch_id: str) -> int:
    """Delete a branch and all that left it; how many are gone.

    Raises:
        BranchNotFound: there is none of that id.
        MissingScope: it is nobody's, so others' may have left it.
    """
    row = _locked(session, branch_id, param=None)
    check_may_change(session, row.owner)
    before = rows.held(session, row.tree).branches
    session.delete(row)
    session.flush()
    return before - rows.held(session, row.tree).branches


def _check_room(session: Session, settings: Settings, size_bytes: int, parent: BranchRow | None) -> None:
    if size_bytes > MAX_BRANCH_BYTES:
        told = f"{size_bytes:,} bytes are more than the {MAX_BRANCH_BYTES:,} of one branch; leave alternatives out"
        raise TooLarge(f"tokens: {told}", param="tokens")
    held = rows.held(session)
    if held.branches >= settings.max_branches:
        raise BranchesFull(f"there are {held.branches:,} branches, and may be no more (INKLING_MAX_BRANCHES)")
    if held.size_bytes + size_bytes > settings.max_branches_bytes:
        told = f"{held.size_bytes:,} bytes of branches and {size_bytes:,} more are beyond"
        raise BranchesFull(f"{told} {settings.max_branches_bytes:,} (INKLING_MAX_BRANCHES_BYTES)")
    if parent is not None and rows.held(session, parent.tree).branches >= MAX_TREE_BRANCHES:
        raise BranchesFull(f"parent: a tree has up to {MAX_TREE_BRANCHES} branches", param="parent")


def _found(session: Session, branch_id: str, param: str | None = None) -> BranchRow:
    row = rows.get(session, branch_id) if NAME.fullmatch(branch_id) else None
    return row or _none(branch_id, param)


def _locked(session: Session, branch_id: str, param: str | None = "parent") -> BranchRow:
    row = rows.lock(session, branch_id) if NAME.fullmatch(branch_id) else None
    return row or _none(branch_id, param)


def _none(branch_id: str, param: str | None) -> BranchRow:
    told = f"{param}: " if param else ""
    raise BranchNotFound(f"{told}there is no branch {branch_id[:200]!r}; GET /branches lists them", param=param)


def _last_asked(body: BranchIn) -> str:
    return body.prompt or (body.messages[-1].content if body.messages else "")


def _shown(text: str) -> str:
    """Its beginning, as a database can hold it: without NUL."""
    return text[:SHOWN].replace("\0", "\ufffd")
