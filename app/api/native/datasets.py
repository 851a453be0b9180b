"""/datasets: upload a text, list, look into one, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.db.tables.dataset import DatasetRow
from app.errors import Conflict, DataMissing, DatasetNotFound, InvalidFile, NoDiskSpace, TooLarge, UnsupportedFormat
from app.schemas.base import Page, StoredText
from app.schemas.dataset import (
    MAX_NAME_CHARACTERS,
    DatasetOut,
    DatasetQuery,
    DeletedOut,
    PreviewOut,
    PreviewQuery,
    ReportOut,
)
from app.services import datasets

FORM_OVERHEAD_BYTES = 64 * 1024  # boundaries, headers and the short fields of an upload

router = APIRouter(prefix="/datasets", tags=["datasets"])


class DatasetForm(BaseModel):
    """An upload: `file`, and what to call it."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile
    name: StoredText | None = Field(None, min_length=1, max_length=MAX_NAME_CHARACTERS)
    kind: Literal["text"] = "text"


@router.post(
    "",
    status_code=201,
    responses=refusals(TooLarge, UnsupportedFormat, InvalidFile, NoDiskSpace),
    form_limits={"max_files": 1, "max_fields": 4, "max_part_size": 4096},
)
def create_dataset(
    form: Annotated[DatasetForm, Form(media_type="multipart/form-data")], runtime: RuntimeDep, response: Response
) -> DatasetOut:
    """Upload a UTF-8 text file."""
    received = datasets.receive(runtime.storage, form.file.file, runtime.settings.max_upload_bytes)
    with runtime.database.write() as session:
        name = datasets.display_name(form.name, form.file.filename)
        row = datasets.register(session, runtime.storage, received, name)
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
def preview_dataset(
    dataset_id: str, query: Annotated[PreviewQuery, Query()], session: ReadSession, runtime: RuntimeDep
) -> PreviewOut:
    """The first characters of a dataset."""
    row = datasets.read(session, dataset_id)
    text = datasets.characters(runtime.storage, row, 0, query.characters)
    return PreviewOut(id=row.id, text=text, characters=row.characters, truncated=len(text) < row.characters)


@router.delete("/{dataset_id}", responses=refusals(DatasetNotFound, Conflict))
def delete_dataset(dataset_id: str, session: WriteSession, runtime: RuntimeDep) -> DeletedOut:
    """Delete a dataset that no unfinished job needs. Models made from it stay."""
    datasets.delete(session, runtime.storage, dataset_id)
    return DeletedOut(id=dataset_id)


def _out(row: DatasetRow) -> DatasetOut:
    return DatasetOut(
        id=row.id,
        name=row.name,
        kind="text",
        format="txt",
        source="builtin" if row.source == "builtin" else "upload",
        bytes=row.size_bytes,
        characters=row.characters,
        sha256=row.sha256,
        report=ReportOut(**row.report),
        created_at=int(row.created_at),
    )
