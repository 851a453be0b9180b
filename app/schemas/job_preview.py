"""The wire of POST /jobs/preview: rows as tokens, and which of them are learnt."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out


class PreviewTokenOut(Out):
    id: int
    text: str = Field(description="U+FFFD where its bytes are no UTF-8.")
    learnt: bool


class PreviewExampleOut(Out):
    line: int
    answer: Literal["chosen", "rejected"] | None = Field(description="Of dpo, whose rows have two; else null.")
    tokens: list[PreviewTokenOut] = Field(description="The first ones; all but the very last are read.")
    total: int = Field(description="Tokens in all, once what is too long was cut off.")
    learnt: int = Field(description="Of them.")


class JobPreviewOut(Out):
    template: str
    examples: list[PreviewExampleOut]
    has_more: bool


class JobPreviewQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: int = Field(3, ge=1, le=20, description="Rows.")
    after: int = Field(0, ge=0, le=2**31 - 1, description="Rows behind this line.")
    tokens: int = Field(2000, ge=1, le=10_000, description="Of each example, at most.")
