"""The wire of /v1/files: a dataset as OpenAI's clients see it (OpenAI's API reference, 2026-11)."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out, StoredText

Purpose = Literal["fine-tune", "evals", "user_data"]
"""What a file may be sent for. Nothing here would read OpenAI's others (`assistants`, `batch`, `vision`)."""
MAX_FILES = 10_000


class FileOut(Out):
    object: Literal["file"] = "file"
    id: str = Field(description="The dataset's: the same row is at /datasets.")
    bytes: int = Field(description="Of the file as it was sent.")
    created_at: int
    expires_at: None = None
    filename: str
    purpose: str
    status: Literal["processed"] = Field("processed", description="A file that cannot be read is refused at once.")
    status_details: str | None = Field(description="Rows that could not be read and are left out; null: none.")


class FilesOut(Out):
    object: Literal["list"] = "list"
    data: list[FileOut]
    first_id: str | None
    last_id: str | None
    has_more: bool


class DeletedFileOut(Out):
    id: str
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


class FileQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    purpose: StoredText | None = Field(None, max_length=100, description="Files of this one alone.")
    limit: int = Field(MAX_FILES, ge=1, le=MAX_FILES)
    order: Literal["asc", "desc"] = Field("desc", description="desc: the newest first.")
    after: StoredText | None = Field(None, description="The id that the page before ended with.")
