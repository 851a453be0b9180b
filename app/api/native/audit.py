"""GET /audit: who did what."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession
from app.schemas.audit import AuditOut, AuditQuery
from app.schemas.base import Page
from app.services import audit

router = APIRouter(prefix="/audit", tags=["audit"])
_SAME = {"address", "action", "resource", "outcome", "request_id"}


@router.get("")
def list_audit(query: Annotated[AuditQuery, Query()], session: ReadSession) -> Page[AuditOut]:
    """What was done and what was refused, newest first."""
    wanted = query.model_dump(include=_SAME, exclude_none=True) | ({"key_id": query.key} if query.key else {})
    found, has_more = audit.page(session, query.after, query.limit, query.since, wanted)
    return Page(
        data=[
            AuditOut(
                id=row.id,
                created_at=int(row.created_at),
                key=row.key_id,
                key_name=name,
                address=row.address,
                request_id=row.request_id,
                action=row.action,
                resource=row.resource,
                outcome=row.outcome,
                status=row.status,
                code=row.code,
                request=row.request,
                times=row.times,
            )
            for row, name in found
        ],
        has_more=has_more,
    )
