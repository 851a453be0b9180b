"""/datasets: upload a text or rows, list, look into one, delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.pieces import LongWorkDep, answer
from app.api.uploads import MAX_FIELD_BYTES, MAX_FIELDS, ReceivingDep
from app.db.tables.dataset import DatasetRow
from app.errors import (
    Conflict,
    DataMissing,
    DatasetNotFound,
    InvalidFile,
    NoDiskSpace,
    TokenizerNotFound,
    TooLarge,
    UnsupportedFormat,
)
from app.schemas.base import Page, StoredText
from app.schemas.dataset import (
    MAX_NAME_CHARACTERS,
    BadRowOut,
    BatchesQuery,
    ColumnOut,
    DatasetOut,
    DatasetQuery,
    DeletedOut,
    Format,
    Kind,
    PreviewOut,
    PreviewQuery,
    ReceivedOut,
)
from app.schemas.dataset_report import DatasetReportOut, ReportQuery
from app.schemas.windows import WindowsOut, written
from app.services import dataset_preview, dataset_report, datasets, first_batches, uploads
from app.services.receiving import Said
from app.services.uploads import Meant

SHOWN_ERRORS = 10  # of each dataset of a list

router = APIRouter(prefix="/datasets", tags=["datasets"])


class DatasetForm(BaseModel):
    """An upload: `file`, and what to call it."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile
    name: StoredText | None = Field(None, min_length=1, max_length=MAX_NAME_CHARACTERS)
    format: Format | None = Field(None, description="Omitted: by the file's name; .jsonl, .csv, .parquet, else a text.")
    kind: Kind | None = Field(None, description="Omitted: of rows guessed from their columns.")


@router.post(
    "",
    status_code=201,
    responses=refusals(TooLarge, UnsupportedFormat, InvalidFile, NoDiskSpace),
    form_limits={"max_files": 1, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD_BYTES},
)
async def create_dataset(
    form: Annotated[DatasetForm, Form(media_type="multipart/form-data")],
    runtime: RuntimeDep,
    response: Response,
    receiving: ReceivingDep,
) -> DatasetOut:
    """Upload a text (UTF-8), or rows as JSONL, CSV or Parquet; compressed with gzip or zstd, or not."""
    said = Said(form.file.filename, form.format, form.kind)
    row = await to_thread.run_sync(uploads.accept, runtime, form.file.file, said, Meant(form.name), limiter=receiving)
    response.headers["Location"] = f"/datasets/{row.id}"
    return _out(row)


@router.get("", responses=refusals(DatasetNotFound))
def list_datasets(query: Annotated[DatasetQuery, Query()], session: ReadSession) -> Page[DatasetOut]:
    """All datasets, newest first."""
    found, has_more = datasets.page(session, query.after, query.limit)
    return Page(data=[_out(row) for row in found], has_more=has_more)


@router.get("/{dataset_id}", responses=refusals(DatasetNotFound))
def read_dataset(dataset_id: str, session: ReadSession) -> DatasetOut:
    """One dataset."""
    return _out(datasets.read(session, dataset_id))


@router.get("/{dataset_id}/preview", responses=refusals(DatasetNotFound, DataMissing))
async def preview_dataset(
    dataset_id: str, query: Annotated[PreviewQuery, Query()], runtime: RuntimeDep, long_work: LongWorkDep
) -> PreviewOut:
    """The first characters of a text, or rows as they are: from the first, or those behind line `after`."""

    def made() -> PreviewOut:
        with runtime.database.read() as session:  # given back before the file is read, which is as long as it likes
            row = datasets.read(session, dataset_id)
        return dataset_preview.preview(runtime.storage, row, query)

    return await to_thread.run_sync(made, limiter=long_work if query.after else None)


@router.get(
    "/{dataset_id}/report",
    response_model=DatasetReportOut,
    responses=refusals(DatasetNotFound, TokenizerNotFound, DataMissing),
)
async def report_on_dataset(
    dataset_id: str, query: Annotated[ReportQuery, Query()], runtime: RuntimeDep, long_work: LongWorkDep
) -> Response:
    """What is good to know before a job: errors, duplicates, lengths, special tokens, overlap, classes."""
    return await answer(
        lambda: iter([dataset_report.report(runtime, dataset_id, query)]), is_long=True, long_work=long_work
    )


@router.get(
    "/{dataset_id}/batches",
    response_model=WindowsOut,
    responses=refusals(DatasetNotFound, TokenizerNotFound, DataMissing, TooLarge, NoDiskSpace),
)
async def first_batches_of_dataset(
    dataset_id: str, query: Annotated[BatchesQuery, Query()], runtime: RuntimeDep, long_work: LongWorkDep
) -> Response:
    """The first batches that a pretraining job with these settings and this seed learns from."""

    def begin() -> Iterator[bytes]:
        sampled = first_batches.sample(runtime, dataset_id, query)
        return written(sampled.head, sampled.shown(), has_more=sampled.has_more)

    return await answer(begin, is_long=True, long_work=long_work)


@router.delete("/{dataset_id}", responses=refusals(DatasetNotFound, Conflict))
def delete_dataset(dataset_id: str, session: WriteSession, runtime: RuntimeDep) -> DeletedOut:
    """Delete a dataset that no unfinished job needs. Models made from it stay."""
    datasets.delete(session, runtime.storage, dataset_id)
    return DeletedOut(id=dataset_id)


def _out(row: DatasetRow) -> DatasetOut:
    return DatasetOut(
        id=row.id,
        name=row.name,
        kind=row.kind,
        format=row.format,
        compression=row.compression,
        source="builtin" if row.source == "builtin" else "upload",
        bytes=row.size_bytes,
        characters=row.characters,
        rows=row.rows,
        columns=[ColumnOut(**column) for column in row.columns],
        sha256=row.sha256,
        report=_received(row),
        created_at=int(row.created_at),
    )


def _received(row: DatasetRow) -> ReceivedOut:
    report = row.report
    return ReceivedOut(
        lines=report["lines"],
        byte_order_mark=report["byte_order_mark"],
        bad_rows=report.get("bad_rows", 0),
        errors=[BadRowOut(**error) for error in report.get("errors", [])[:SHOWN_ERRORS]],
    )
