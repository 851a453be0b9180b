"""The API page: Swagger UI out of its Python package, so that it works without a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.pages.render import STYLED_POLICY, render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class DocsPage:
    template: ClassVar[str] = "docs.html"
    place: ClassVar[str] = "docs"


@router.get("/docs")
def docs() -> HTMLResponse:
    """Show every route, to read and to try."""
    return render(DocsPage(), policy=STYLED_POLICY)
