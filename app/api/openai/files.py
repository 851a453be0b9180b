"""/v1/files: datasets, as OpenAI's clients send and read them."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Form, Query, UploadFile
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.api.uploads import MAX_FIELD_BYTES, MAX_FIELDS, ReceivingDep
from app.db.tables.dataset import DatasetRow, Order
from app.errors import Conflict, DataMissing, DatasetNotFound, InvalidFile, NoDiskSpace, TooLarge, UnsupportedFormat
from app.schemas.openai_files import DeletedFileOut, FileOut, FileQuery, FilesOut, Purpose
from app.services import datasets, uploads
from app.services.uploads import Meant

router = APIRouter(prefix="/v1/files", tags=["openai"])


class FileForm(BaseModel):
    """An upload: `file`, and what it is for."""

    model_config = ConfigDict(extra="forbid")

    file: UploadFile
    purpose: Purpose


@router.post(
    "",
    responses=refusals(TooLarge, UnsupportedFormat, InvalidFile, NoDiskSpace),
    form_limits={"max_files": 1, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD_BYTES},
)
async def create_file(
    form: Annotated[FileForm, Form(media_type="multipart/form-data")], runtime: RuntimeDep, receiving: ReceivingDep
) -> FileOut:
    """Upload a file: a dataset, read and reported on as `POST /datasets` does."""
    file = form.file.file

    def accepted() -> DatasetRow:
        said = uploads.said_of(file, form.file.filename)
        return uploads.accept(runtime, file, said, Meant(purpose=form.purpose))

    return _out(await to_thread.run_sync(accepted, limiter=receiving))


@router.get("", responses=refusals(DatasetNotFound))
def list_files(query: Annotated[FileQuery, Query()], session: ReadSession) -> FilesOut:
    """All files, or those of a purpose."""
    found, has_more = datasets.page(session, query.after, query.limit, Order(query.purpose, query.order == "asc"))
    data = [_out(row) for row in found]
    first, last = (data[0].id, data[-1].id) if data else (None, None)
    return FilesOut(data=data, first_id=first, last_id=last, has_more=has_more)


@router.get("/{file_id}", responses=refusals(DatasetNotFound))
def read_file(file_id: str, session: ReadSession) -> FileOut:
    """One file."""
    return _out(datasets.read(session, file_id))


@router.get(
    "/{file_id}/content",
    response_class=FileResponse,
    responses=refusals(DatasetNotFound, DataMissing)
    | {200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
)
def read_file_content(file_id: str, session: ReadSession, runtime: RuntimeDep) -> FileResponse:
    """The very bytes that were sent."""
    row = datasets.read(session, file_id)
    place = datasets.as_sent(runtime.storage, row)
    return FileResponse(place, media_type="application/octet-stream", filename=row.name)


@router.delete("/{file_id}", responses=refusals(DatasetNotFound, Conflict))
def delete_file(file_id: str, session: WriteSession, runtime: RuntimeDep) -> DeletedFileOut:
    """Delete a file that no unfinished job needs. Models made from it stay."""
    datasets.delete(session, runtime.storage, file_id)
    return DeletedFileOut(id=file_id)


def _out(row: DatasetRow) -> FileOut:
    bad_rows = row.report.get("bad_rows", 0)
    return FileOut(
        id=row.id,
        bytes=row.size_bytes if row.original_bytes is None else row.original_bytes,
        created_at=int(row.created_at),
        filename=row.name,
        purpose=row.purpose,
        status_details=_told(row, bad_rows) if bad_rows else None,
    )


def _told(row: DatasetRow, bad_rows: int) -> str:
    first = row.report["errors"][0]
    return f"{bad_rows:,} rows cannot be read and are left out; line {first['line']}: {first['reason']}"
