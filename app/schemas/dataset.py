"""The wire of /datasets: what is known of a dataset, a page of them, a look into one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out

MAX_NAME_CHARACTERS = 200
MAX_PREVIEW_CHARACTERS = 100_000


class ReportOut(Out):
    """What was found while the file was read."""

    lines: int
    byte_order_mark: bool


class DatasetOut(Out):
    object: Literal["dataset"] = "dataset"
    id: str
    name: str = Field(description="As given, or the file's; for people alone.")
    kind: Literal["text"]
    format: Literal["txt"]
    source: Literal["upload", "builtin"]
    bytes: int
    characters: int = Field(description="Unicode code points.")
    sha256: str
    report: ReportOut
    created_at: int


class PreviewOut(Out):
    id: str
    text: str
    characters: int = Field(description="Of the whole dataset.")
    truncated: bool


class DeletedOut(Out):
    id: str
    deleted: Literal[True] = True


class DatasetQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The id that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)


class PreviewQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    characters: int = Field(1000, ge=1, le=MAX_PREVIEW_CHARACTERS, description="How many, from the beginning.")
