"""The page of one model: what it is, where it comes from, what was measured of it. Read and used without JavaScript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import ClassVar

from anyio import to_thread
from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from app.api.deps import RuntimeDep
from app.api.pages import model_facts
from app.api.pages.jobs import MissingPage
from app.api.pages.render import render
from app.db.session import Session
from app.db.tables.job import JobRow
from app.errors import AppError, CheckpointNotFound, InvalidRequest, ModelNotFound
from app.services import class_matrix, evaluations, family_tree, model_history, registry
from app.services.class_matrix import OWN, Asked, Matrix
from app.services.evaluations import Measured
from app.services.family_tree import Kin
from app.services.model_history import Made
from app.services.model_info import ModelInfo
from app.services.runtime import Runtime

router = APIRouter(prefix="/ui/models", include_in_schema=False)

MAX_EVALUATIONS = 50


@dataclass(frozen=True)
class ModelPage:
    template: ClassVar[str] = "model.html"
    place: ClassVar[str] = "models"
    facts: ClassVar[ModuleType] = model_facts

    model: ModelInfo
    tree: Kin
    made: Made | None
    used_by: Sequence[JobRow] = ()
    has_more_uses: bool = False
    measured: Sequence[Measured] = ()
    has_more_measured: bool = False
    matrix: Matrix | None = None
    refusal: str = ""

    @property
    def address(self) -> str:
        return model_facts.page_of(self.model.name)

    @property
    def created(self) -> str:
        return moment(self.model.created_at)

    def moment(self, seconds: float) -> str:
        return moment(seconds)


def moment(seconds: float | None) -> str:
    return "" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%-d %B %Y, %H:%M} UTC"


@router.get("/{name}")
def show(name: str, request: Request, runtime: RuntimeDep) -> HTMLResponse:
    """Show one model or checkpoint; a page that says so where there is none of that name."""
    return _shown(runtime, name, _asked(request.query_params))


@router.post("/{name}")
async def act(name: str, request: Request, runtime: RuntimeDep) -> Response:
    """Load, unload or delete, as a form asks where no script does; the page with the reason where it is refused."""
    async with request.form(max_files=0, max_fields=4, max_part_size=200) as form:
        wanted = form.get("do")
    try:
        if wanted == "load":
            await registry.load(runtime, name)
        elif wanted == "unload":
            await to_thread.run_sync(registry.unload, runtime, name)
        elif wanted == "delete":
            await to_thread.run_sync(_delete, runtime, name)
            return RedirectResponse("/ui/models", 303)
        else:
            raise InvalidRequest("do: load, unload or delete", param="do")
    except AppError as error:
        return await to_thread.run_sync(_shown, runtime, name, Wanted(), error)
    return RedirectResponse(model_facts.page_of(name), 303)


def _delete(runtime: Runtime, name: str) -> None:
    with runtime.database.write() as session:
        registry.delete(session, runtime, name)


@dataclass(frozen=True)
class Wanted:
    """Of a classifier: which report is asked for, None: the newest, and how it is to be read."""

    evaluation: str | None = None
    asked: Asked = field(default_factory=Asked)


def _asked(query: Mapping[str, str]) -> Wanted:
    """What an address asks for; what is no number is not asked for."""
    found = Asked(threshold=_share(query.get("threshold", "")), after=_whole(query.get("after", "")) or 0)
    is_, told = (_whole(query.get(name, "")) for name in ("is", "told"))
    if is_ is not None and told is not None:
        found = replace(found, cell=(is_, told))
    return Wanted(query.get("evaluation"), found)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None


def _shown(runtime: Runtime, name: str, wanted: Wanted, refusal: AppError | None = None) -> HTMLResponse:
    try:
        with runtime.database.read() as session:
            page = _page(session, runtime, name, wanted)
    except (ModelNotFound, CheckpointNotFound) as error:
        missing = MissingPage.of("No such model", error, "/ui/models", "All models")
        return render(missing, status=404)
    if refusal is None:
        return render(page)
    return render(replace(page, refusal=refusal.message), status=refusal.status)


def _page(session: Session, runtime: Runtime, name: str, wanted: Wanted) -> ModelPage:
    model = runtime.catalogue.info(session, name)
    measured, has_more = evaluations.page(session, model, None, MAX_EVALUATIONS)
    jobs, has_more_jobs = model_history.used_by(session, name)
    page = ModelPage(
        model,
        family_tree.tree(session, model),
        model_history.made(session, model),
        jobs,
        has_more_jobs,
        measured,
        has_more,
    )
    if model.family != "classifier":
        return page
    newest = next((one.job for one in measured if one.kind == "accuracy"), OWN)
    chosen = wanted.evaluation or newest
    try:
        asked = replace(wanted.asked, evaluation="" if chosen == OWN else chosen)
        return replace(page, matrix=class_matrix.matrix(session, name, asked))
    except AppError as error:
        return replace(page, refusal=error.message if wanted.evaluation else "")
