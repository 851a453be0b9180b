"""The page of all datasets, and the form that adds one; both work without JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast, get_args

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import FormData, UploadFile

from app.api.deps import ReadSession, RuntimeDep
from app.api.pages.render import render
from app.api.uploads import MAX_FIELD_BYTES, MAX_FIELDS, ReceivingDep
from app.db.session import Session
from app.db.tables.dataset import DatasetRow
from app.errors import AppError, InvalidRequest
from app.schemas.dataset import MAX_NAME_CHARACTERS, Kind
from app.services import datasets, uploads
from app.services.receiving import Said
from app.services.runtime import Runtime
from app.services.uploads import Meant

router = APIRouter(prefix="/ui/datasets", include_in_schema=False)
receiving_router = APIRouter(prefix="/ui/datasets", include_in_schema=False)
"""What takes files, whose bodies are longer than others'."""

MOST = 1000
KINDS: dict[str, str] = {
    "text": "a text",
    "labelled": "labelled texts",
    "instructions": "instructions",
    "chat": "conversations",
    "preferences": "preferences",
    "records": "records",
}
"""In words; records are rows of no kind that is known."""


@dataclass(frozen=True)
class DatasetsPage:
    template: ClassVar[str] = "datasets.html"
    place: ClassVar[str] = "datasets"
    kinds: ClassVar[dict[str, str]] = KINDS

    rows: Sequence[DatasetRow]
    has_more: bool
    max_upload_bytes: int
    refusal: str = ""


@router.get("")
def dataset_list(runtime: RuntimeDep, session: ReadSession) -> HTMLResponse:
    """Show all datasets, and the form that adds one."""
    return render(_page(runtime, session))


@receiving_router.post("")
async def upload(request: Request, runtime: RuntimeDep, receiving: ReceivingDep) -> Response:
    """Take the form where no script sends it: to the dataset, or back to the list with what is wrong."""
    limits = {"max_files": 1, "max_fields": MAX_FIELDS, "max_part_size": MAX_FIELD_BYTES}
    try:
        async with request.form(**limits) as form:
            file, said, meant = _asked(form)
            row = await to_thread.run_sync(uploads.accept, runtime, file.file, said, meant, limiter=receiving)
    except AppError as error:
        return await to_thread.run_sync(_refused, runtime, error)
    return RedirectResponse(f"/ui/datasets/{row.id}", 303)


def _asked(form: FormData) -> tuple[UploadFile, Said, Meant]:
    file, name, kind = form.get("file"), str(form.get("name") or ""), str(form.get("kind") or "")
    if not isinstance(file, UploadFile) or not file.filename:
        raise InvalidRequest("file: choose one", param="file")
    if len(name) > MAX_NAME_CHARACTERS or "\0" in name:
        raise InvalidRequest(f"name: at most {MAX_NAME_CHARACTERS} characters of text", param="name")
    if kind not in ("", *get_args(Kind)):
        raise InvalidRequest(f"kind: one of {', '.join(get_args(Kind))}", param="kind")
    return file, Said(file.filename, None, cast("Kind", kind) if kind else None), Meant(name or None)


def _refused(runtime: Runtime, error: AppError) -> HTMLResponse:
    with runtime.database.read() as session:
        return render(_page(runtime, session, error.message), status=error.status)


def _page(runtime: Runtime, session: Session, refusal: str = "") -> DatasetsPage:
    rows, has_more = datasets.page(session, None, MOST)
    return DatasetsPage(rows, has_more, runtime.settings.max_upload_bytes, refusal)
