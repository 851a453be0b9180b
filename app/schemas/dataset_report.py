"""The wire of GET /datasets/{dataset_id}/report: what is good to know of a dataset before a job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from app.schemas.base import Out
from app.schemas.dataset import BadRowOut, ColumnOut, Format, Kind, PreviewOut

MAX_CONTEXT = 1 << 20


class ReportQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")

    tokenizer: str | None = Field(None, description="Counts the tokens; omitted: the default one.")
    context_length: int = Field(1024, ge=1, le=MAX_CONTEXT, description="Tokens that the model will take.")
    validation: str | None = Field(None, description="A dataset's id: what of it is in this one, too?")


class LookedAtOut(Out):
    """Rows, or paragraphs of a text."""

    unit: str
    count: int
    sampled: bool = Field(description="Some of them stand for all: those that a hash of their content chose.")
    one_in: int


class ErrorsOut(Out):
    count: int = Field(description="Of all rows that could not be read, and of fields among those looked at.")
    data: list[BadRowOut] = Field(description="The first hundred.")


class EmptyOut(Out):
    count: int
    lines: list[int] = Field(description="The first ten.")


class TwinOut(Out):
    line: int
    first_line: int = Field(description="Where it stands first; of an overlap: where it stands in this dataset.")


class DuplicatesOut(Out):
    count: int = Field(description="Those that were there before, white space aside.")
    share: float
    data: list[TwinOut] = Field(description="The first ten.")


class OverlapOut(DuplicatesOut):
    dataset: str
    looked_at: int = Field(description="Rows or paragraphs of the validation dataset.")


class BucketOut(Out):
    over: int
    up_to: int | None
    count: int


class LengthsOut(Out):
    """In tokens, of what a model would read of each row or paragraph."""

    tokenizer: str
    context_length: int
    tokens: int
    median: int
    longest: int
    longest_line: int | None
    too_long: int = Field(description="How many do not fit the context.")
    too_long_share: float
    cut_tokens_share: float = Field(description="Of all tokens, those behind the context.")
    buckets: list[BucketOut]


class SpecialOut(Out):
    token: str
    count: int
    line: int = Field(description="Where it comes first.")
    of_tokenizer: bool = Field(description="Else it is another model's.")


class LabelOut(Out):
    label: str
    count: int


class ClassesOut(Out):
    column: str
    classes: int
    data: list[LabelOut] = Field(description="The most frequent first, a hundred at most.")


class DatasetReportOut(Out):
    id: str
    kind: Kind
    format: Format
    rows: int | None
    columns: list[ColumnOut]
    looked_at: LookedAtOut
    errors: ErrorsOut
    empty: EmptyOut
    duplicates: DuplicatesOut
    overlap: OverlapOut | None = Field(description="Null where no validation dataset is named.")
    lengths: LengthsOut
    special_tokens: list[SpecialOut]
    classes: ClassesOut | None = Field(description="Null where no column holds labels.")
    preview: PreviewOut
