"""/models: import from a folder, the hub or an upload; export and download."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.db.tables.model import ModelRow
from app.errors import (
    CheckpointNotFound,
    Conflict,
    DataMissing,
    HubUnreachable,
    InvalidFile,
    ModelNotFound,
    NameTaken,
    NoDiskSpace,
    TokenizerNotFound,
    TooLarge,
    UnsupportedFormat,
)
from app.schemas.base import StoredText
from app.schemas.model import ExportQuery, Licence, ModelCreate, ModelOut
from app.services import exporting, import_sources
from app.services.hub import HubSource
from app.services.import_checks import Wanted
from app.services.runtime import Runtime

FORM_OVERHEAD_BYTES = 1024 * 1024  # boundaries, headers and the short fields of an upload
MAX_FILES = 200

router = APIRouter(prefix="/models", tags=["models"])
_REFUSED = refusals(NameTaken, TokenizerNotFound, InvalidFile, UnsupportedFormat, TooLarge, DataMissing, NoDiskSpace)
_SENT_REFUSED = refusals(ModelNotFound, CheckpointNotFound, DataMissing, NoDiskSpace)
_ANY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
_BYTES = {"application/octet-stream": _ANY}


class UploadForm(BaseModel):
    """The files of one model, and what to call it."""

    model_config = ConfigDict(extra="forbid")

    files: list[UploadFile] = Field(min_length=1)
    name: StoredText = Field(max_length=200)
    tokenizer: StoredText | None = Field(None, min_length=1, max_length=200)
    licence: Licence | None = None


@router.post("", status_code=201, responses=_REFUSED | refusals(ModelNotFound, Conflict, HubUnreachable))
def create_model(body: ModelCreate, runtime: RuntimeDep, response: Response) -> ModelOut:
    """Import a model from a folder of the import directory, or from the public hub. Answers when it is done."""
    source = body.source
    if source.folder is not None:
        wanted = Wanted(body.name, body.tokenizer, body.licence, "source.folder")
        row = import_sources.from_folder(runtime, wanted, source.folder)
    else:
        wanted = Wanted(body.name, body.tokenizer, body.licence, "source.hub")
        asked = HubSource(source.hub or "", source.revision or "main", source.file)
        row = import_sources.from_hub(runtime, wanted, asked)
    return _made(runtime, row, response)


@router.post(
    "/upload",
    status_code=201,
    responses=_REFUSED,
    form_limits={"max_files": MAX_FILES, "max_fields": 8, "max_part_size": 4096},
)
def upload_model(
    form: Annotated[UploadForm, Form(media_type="multipart/form-data")], runtime: RuntimeDep, response: Response
) -> ModelOut:
    """Import a model from uploaded files: config.json, *.safetensors and the tokenizer's, or one GGUF file."""
    wanted = Wanted(form.name, form.tokenizer, form.licence, "files")
    uploads = ((upload.filename or "", upload.file) for upload in form.files)
    return _made(runtime, import_sources.from_upload(runtime, wanted, uploads), response)


@router.get(
    "/{name}/export",
    response_class=StreamingResponse,
    responses=_SENT_REFUSED | {200: {"content": _BYTES | {"application/x-tar": _ANY}}},
)
def export_model(name: str, query: Annotated[ExportQuery, Query()], runtime: RuntimeDep) -> StreamingResponse:
    """A model for other programs: a tar of a folder that `transformers` loads, or a GGUF file for llama.cpp."""
    made = exporting.export(runtime, name, query.format, query.type)
    return _Sent(made)


@router.get("/{name}/download", response_class=Response, responses=_SENT_REFUSED | {200: {"content": _BYTES}})
def download_model(name: str, runtime: RuntimeDep) -> Response:
    """The weights as one safetensors file, in float32 and under our own names, the configuration in its metadata."""
    made = exporting.download(runtime, name)
    if made.is_kept:
        return FileResponse(made.path, media_type=made.media_type, filename=made.file_name)
    return _Sent(made)


class _Sent(StreamingResponse):
    """A file that was made to be sent: it goes in the end, though the client never read a byte of it."""

    def __init__(self, made: exporting.Made) -> None:
        headers = {
            "Content-Length": str(made.size_bytes),
            "Content-Disposition": f'attachment; filename="{made.file_name}"',
        }
        super().__init__(made.stream(), media_type=made.media_type, headers=headers)
        self._file = made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._file.remove()


def _made(runtime: Runtime, row: ModelRow, response: Response) -> ModelOut:
    response.headers["Location"] = f"/models/{row.name}"
    with runtime.database.read() as session:
        return ModelOut.model_validate(runtime.catalogue.info(session, row.name))
