"""The wire of /datasets: what is known of a dataset, a page of them, a look into one."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out
from app.schemas.windows import MAX_SEED, MAX_SHOWN_TOKENS

MAX_NAME_CHARACTERS = 200
MAX_PREVIEW_CHARACTERS = 100_000
MAX_PREVIEW_ROWS = 1000


Format = Literal["txt", "jsonl", "csv", "parquet"]
Kind = Literal["text", "labelled", "instructions", "chat", "preferences", "records"]


class BadRowOut(Out):
    line: int = Field(description="At which it begins; of Parquet the row.")
    field: str | None = Field(description="The column to blame, where it is one.")
    reason: str


class ReceivedOut(Out):
    """What was found while the file was read."""

    lines: int = Field(description="Of Parquet: rows.")
    byte_order_mark: bool
    bad_rows: int = Field(description="That could not be read and are left out.")
    errors: list[BadRowOut] = Field(description="The first ten of them; GET …/report has more.")


class ColumnOut(Out):
    name: str
    type: Literal["text", "number", "boolean", "list", "object", "mixed", "empty"]
    filled: int = Field(description="Rows that have something in it.")
    characters: int = Field(description="Of its texts, all together.")


class DatasetOut(Out):
    object: Literal["dataset"] = "dataset"
    id: str
    name: str = Field(description="As given, or the file's; for people alone.")
    kind: Kind = Field(description="Of rows: named at the upload, or guessed from the columns.")
    format: Format
    compression: Literal["gzip", "zstd"] | None = Field(description="As it was sent.")
    source: Literal["upload", "builtin"]
    bytes: int = Field(description="Of the file, unpacked.")
    characters: int = Field(description="Unicode code points, of all texts in it.")
    rows: int | None = Field(description="Null: it is one text.")
    columns: list[ColumnOut]
    sha256: str = Field(description="Of the file, unpacked.")
    report: ReceivedOut
    created_at: int


class RowOut(Out):
    line: int
    values: dict[str, Any]
    cut: list[str] = Field(description="Columns of which only the beginning is shown.")


class PreviewOut(Out):
    id: str
    text: str | None = Field(description="Null of rows.")
    characters: int = Field(description="Of the whole dataset.")
    rows: list[RowOut] | None = Field(description="Null of a text.")
    truncated: bool = Field(description="Whether more follows.")


class DeletedOut(Out):
    id: str
    deleted: Literal[True] = True


class DatasetQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(None, description="The id that the page before ended with.")
    limit: int = Field(100, ge=1, le=1000)


class PreviewQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    characters: int = Field(
        1000, ge=1, le=MAX_PREVIEW_CHARACTERS, description="How many, from the beginning; of rows: of each value."
    )
    limit: int = Field(20, ge=1, le=MAX_PREVIEW_ROWS, description="Rows to show.")
    after: int = Field(0, ge=0, le=2**62, description="The line of the last row of the page before.")


class BatchesQuery(BaseModel):
    """The settings of a pretraining job that decide what it reads."""

    model_config = ConfigDict(extra="forbid")

    column: str | None = Field(None, description="Of rows, the one to learn from.")
    tokenizer: str | None = Field(None, description="Omitted: the default one.")
    context_length: int = Field(256, ge=1, le=MAX_SHOWN_TOKENS, description="Tokens a window.")
    stride: int | None = Field(None, ge=1, le=2**31 - 1, description="Omitted: a window's length.")
    batch_size: int = Field(8, ge=1, le=MAX_SHOWN_TOKENS)
    validation: float = Field(0.1, ge=0, le=0.9, description="The share that is kept back to measure on.")
    seed: int | None = Field(None, ge=0, le=MAX_SEED, description="The job's; omitted: drawn, and returned.")
    limit: int = Field(1, ge=1, le=100, description="Batches to show, from the first step on.")
