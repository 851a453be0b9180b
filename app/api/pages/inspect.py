"""The glass box: one forward pass of any model, looked into. What it shows is fetched by the browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import RuntimeDep
from app.api.pages.render import render

router = APIRouter(include_in_schema=False)

STAGES = (
    ("scores", "Scores", "q·k / √D: how well each query fits each key"),
    ("masked", "Masked", "keys that come later are struck out"),
    ("attention", "Softmax", "each row as shares that sum to one"),
)
"""The three steps to an attention matrix: name in the API, label, what is done."""


@dataclass(frozen=True)
class InspectPage:
    template: ClassVar[str] = "inspect.html"
    place: ClassVar[str] = "inspect"
    stages: ClassVar[tuple[tuple[str, str, str], ...]] = STAGES

    default_model: str


@router.get("/ui/inspect")
def inspect(runtime: RuntimeDep) -> HTMLResponse:
    """Show the form and the empty panels."""
    return render(InspectPage(runtime.settings.default_model))
