"""The page of all models: what each is made of, into memory and out, and the form that imports one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import RuntimeDep
from app.api.pages.render import render

router = APIRouter(prefix="/ui/models", include_in_schema=False)


@dataclass(frozen=True)
class ModelsPage:
    template: ClassVar[str] = "models.html"
    place: ClassVar[str] = "models"

    max_upload_bytes: int
    import_dir: str
    hub: str


@router.get("")
def model_list(runtime: RuntimeDep) -> HTMLResponse:
    """Show all models, and the form that imports one."""
    settings = runtime.settings
    return render(ModelsPage(settings.max_model_upload_bytes, str(settings.effective_import_dir), settings.hub_url))
