"""The page of all models: what each is made of, into memory and out, and the form that imports one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import ReadSession, RuntimeDep
from app.api.pages import model_facts
from app.api.pages.render import render

router = APIRouter(prefix="/ui/models", include_in_schema=False)


@dataclass(frozen=True)
class ModelsPage:
    template: ClassVar[str] = "models.html"
    place: ClassVar[str] = "models"

    max_upload_bytes: int
    import_dir: str
    hub: str
    addresses: Mapping[str, str] = field(default_factory=dict)
    """Of the pages of all models, by their names: what is listed until the script has more to say."""


@router.get("")
def model_list(runtime: RuntimeDep, session: ReadSession) -> HTMLResponse:
    """Show all models, and the form that imports one."""
    settings = runtime.settings
    addresses = {model.name: model_facts.page_of(model.name) for model in runtime.catalogue.list(session)}
    place = str(settings.effective_import_dir)
    return render(ModelsPage(settings.max_model_upload_bytes, place, settings.hub_url, addresses))
