"""The wire of GET /audit."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out, StoredText

MAX_ID = 2**31 - 1


class AuditQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(None, ge=1, le=MAX_ID, description="The id that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)
    key: StoredText | None = Field(None, description="The id of the key that asked.")
    address: StoredText | None = Field(None, description="That was asked from.")
    action: StoredText | None = Field(None, description="Such as `job.create`.")
    resource: StoredText | None = Field(None, description="The id or name of a thing.")
    outcome: Literal["done", "refused", "failed"] | None = None
    request_id: StoredText | None = Field(None, description="Of the answer's header X-Request-ID.")
    since: int | None = Field(None, ge=0, le=2**53, description="Unix seconds.")


class AuditOut(Out):
    """What was done or tried, by whom, and what came of it."""

    id: int
    created_at: int
    key: str | None = Field(description="The key's id; null: no key was asked for, or none was good.")
    key_name: str | None
    address: str | None = Field(description="null: from the shell of the machine.")
    request_id: str | None
    action: str
    resource: str | None = Field(description="The id or name of what it was done to, or of what came of it.")
    outcome: Literal["done", "refused", "failed"]
    status: int | None
    code: str | None = Field(description="Of the error.")
    request: str | None = Field(description="Method and path.")
    times: int = Field(description="So many alike were refused since the one before.")
