"""The page of one dataset: what is in it, what is wrong with it, what uses it. What takes long is fetched later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from anyio import to_thread
from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.deps import RuntimeDep
from app.api.pages.datasets import KINDS, MOST
from app.api.pages.jobs import MissingPage
from app.api.pages.render import render
from app.api.pieces import LongWorkDep
from app.db.tables.dataset import DatasetRow
from app.errors import AppError, DatasetNotFound
from app.schemas.dataset import PreviewOut, PreviewQuery
from app.services import dataset_preview, dataset_uses, datasets
from app.services.dataset_uses import Uses
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/datasets", include_in_schema=False)

ROWS = PreviewQuery(characters=600, limit=20)
TEXT = PreviewQuery(characters=4000)
FOR = {
    "text": ("pretrain", "Continue text like it"),
    "labelled": ("classify", "Tell its classes"),
    "instructions": ("instruct", "Learn to answer"),
    "chat": ("instruct", "Learn to answer"),
    "preferences": ("dpo", "Learn better from worse"),
    "records": ("pretrain", "Continue one of its columns"),
}
"""What a kind is mostly used for: a recipe, and the words of the link to it."""


@dataclass(frozen=True)
class DatasetPage:
    template: ClassVar[str] = "dataset.html"
    place: ClassVar[str] = "datasets"
    kinds: ClassVar[dict[str, str]] = KINDS

    row: DatasetRow
    uses: Uses
    tokenizers: Sequence[str]
    tokenizer: str
    """That counts."""
    others: Sequence[DatasetRow] = field(default_factory=list)
    """What else it may be compared with."""
    models: Sequence[str] = field(default_factory=list)
    """That can learn from it to answer."""
    preview: PreviewOut | None = None
    after: int = 0
    """The line that the rows which are shown lie behind."""
    refusal: str = ""

    @property
    def recipe(self) -> str:
        return FOR[self.row.kind][0]

    @property
    def recipe_words(self) -> str:
        return FOR[self.row.kind][1]

    @property
    def teaches_answers(self) -> bool:
        return self.recipe in ("instruct", "dpo")

    @property
    def cells(self) -> list[tuple[int, list[str]]]:
        """Of each row that is shown its line, and what stands in each column; lists and objects as JSON."""
        names = datasets.column_names(self.row)
        rows = (self.preview and self.preview.rows) or []
        return [(row.line, [_cell(row.values.get(name), name in row.cut) for name in names]) for row in rows]

    @property
    def added(self) -> str:
        return f"{datetime.fromtimestamp(self.row.created_at, UTC):%-d %B %Y, %H:%M} UTC"


@router.get("/{dataset_id}")
async def show(
    dataset_id: str, runtime: RuntimeDep, long_work: LongWorkDep, after: str = "0", tokenizer: str = ""
) -> HTMLResponse:
    """Show one dataset, of rows those behind line `after`; a page that says so where there is none of that id."""
    line = int(after) if after.isascii() and after.isdigit() and len(after) < 16 else 0
    return await to_thread.run_sync(_shown, runtime, dataset_id, line, tokenizer, limiter=long_work if line else None)


@router.post("/{dataset_id}")
def delete(dataset_id: str, runtime: RuntimeDep) -> Response:
    """Delete a dataset, as its form asks for where no script does; its page with the reason where it is refused."""
    try:
        with runtime.database.write() as session:
            datasets.delete(session, runtime.storage, dataset_id)
    except DatasetNotFound as error:
        return _missing(error)
    except AppError as error:
        return _shown(runtime, dataset_id, 0, "", error)
    return RedirectResponse("/ui/datasets", 303)


def _shown(
    runtime: Runtime, dataset_id: str, after: int, tokenizer: str, refusal: AppError | None = None
) -> HTMLResponse:
    try:
        page = _page(runtime, dataset_id, tokenizer or runtime.settings.default_tokenizer)
    except DatasetNotFound as error:
        return _missing(error)
    query = TEXT if page.row.rows is None else ROWS.model_copy(update={"after": after})
    try:  # no session is open: the file is read for as long as it likes
        page = replace(page, preview=dataset_preview.preview(runtime.storage, page.row, query), after=after)
    except AppError as error:
        refusal = refusal or error
    if refusal is None:
        return render(page)
    return render(replace(page, refusal=refusal.message), status=refusal.status)


def _page(runtime: Runtime, dataset_id: str, tokenizer: str) -> DatasetPage:
    with runtime.database.read() as session:
        row = datasets.read(session, dataset_id)
        others = [other for other in datasets.page(session, None, MOST)[0] if other.id != row.id]
        names = [info.name for info in runtime.tokenizers.list(session) if info.available]
        models = [info.name for info in runtime.catalogue.list(session) if info.writes and info.available]
        return DatasetPage(row, dataset_uses.of(session, row.id), names, tokenizer, others, models)


def _cell(value: Any, is_cut: bool) -> str:
    written = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"{written} …" if is_cut else written


def _missing(error: DatasetNotFound) -> HTMLResponse:
    return render(MissingPage.of("No such dataset", error, "/ui/datasets", "All datasets"), status=404)
