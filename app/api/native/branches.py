"""/branches: generated texts kept as trees, to be gone on from and shared by their address."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.db.session import Session
from app.db.tables.branch import BranchRow
from app.errors import BranchesFull, BranchNotFound, TooLarge
from app.schemas.base import Page
from app.schemas.branch import BranchDeletedOut, BranchIn, BranchOut, BranchQuery, BranchSummaryOut
from app.services import branches

router = APIRouter(prefix="/branches", tags=["generate"])


@router.post("", status_code=201, responses=refusals(BranchNotFound, BranchesFull, TooLarge))
def create_branch(body: BranchIn, session: WriteSession, runtime: RuntimeDep, response: Response) -> BranchSummaryOut:
    """Keep a generated text, as the first of a tree or as it leaves another one."""
    row = branches.create(session, runtime.settings, body)
    session.refresh(row, ["created_at"])
    response.headers["Location"] = f"/branches/{row.id}"
    return _summary(row, None)


@router.get("", responses=refusals(BranchNotFound))
def list_branches(query: Annotated[BranchQuery, Query()], session: ReadSession) -> Page[BranchSummaryOut]:
    """Trees, newest first, each by its first branch; or the branches of one, oldest first."""
    found, has_more = branches.page(session, query.tree, query.after, query.limit)
    return Page(data=_summaries(session, found, of_one_tree=query.tree is not None), has_more=has_more)


@router.get("/{branch_id}", responses=refusals(BranchNotFound))
def read_branch(branch_id: str, session: ReadSession) -> BranchOut:
    """One branch with its whole line of tokens."""
    line = branches.read(session, branch_id)
    row = line.row
    return BranchOut.model_validate(
        {
            "id": row.id,
            "tree": row.tree,
            "parent": row.parent_id,
            "at": row.at,
            "model": row.model,
            "prompt": line.asked.get("prompt"),
            "messages": line.asked.get("messages"),
            "sampling": row.sampling,
            "finish_reason": row.finish_reason,
            "tokens": line.tokens,
            "created_at": int(row.created_at),
        }
    )


@router.delete("/{branch_id}", responses=refusals(BranchNotFound))
def delete_branch(branch_id: str, session: WriteSession) -> BranchDeletedOut:
    """Delete a branch with all that left it."""
    return BranchDeletedOut(id=branch_id, branches=branches.delete(session, branch_id))


def _summaries(session: Session, found: list[BranchRow], *, of_one_tree: bool) -> list[BranchSummaryOut]:
    counts = {} if of_one_tree else branches.sizes(session, found)
    return [_summary(row, counts.get(row.tree)) for row in found]


def _summary(row: BranchRow, count: int | None) -> BranchSummaryOut:
    return BranchSummaryOut.model_validate(
        {
            "id": row.id,
            "tree": row.tree,
            "parent": row.parent_id,
            "at": row.at,
            "length": row.length,
            "model": row.model,
            "opening": row.opening,
            "excerpt": row.excerpt,
            "sampling": row.sampling,
            "finish_reason": row.finish_reason,
            "branches": count,
            "created_at": int(row.created_at),
        }
    )
