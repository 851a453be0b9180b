"""The first page: a way to the tokens of a text, and the playground, whose text the browser fetches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import RuntimeDep
from app.api.pages.render import render

router = APIRouter(include_in_schema=False)

HEADLINE = (
    (6109, "Every"),
    (6827, "sentence"),
    (318, "is"),
    (257, "a"),
    (5752, "row"),
    (286, "of"),
    (3146, "numbers"),
    (13, "."),
)
"""The sentence at the top, with the ids that GPT-2's tokenizer gives it."""

SAMPLE = "Hello, do you like tea?"
"""What one may look at the tokens of, to begin with."""


@dataclass(frozen=True)
class HomePage:
    template: ClassVar[str] = "home.html"
    place: ClassVar[str] = ""
    headline: ClassVar[tuple[tuple[int, str], ...]] = HEADLINE
    sample: ClassVar[str] = SAMPLE

    default_model: str
    is_remote: bool
    """Another server generates: the models to choose from are its own."""


@router.get("/")
def home(runtime: RuntimeDep) -> HTMLResponse:
    """Show the way to tokens, and the playground."""
    settings = runtime.settings
    return render(
        HomePage(
            default_model=settings.default_model,
            is_remote=settings.remote_url is not None,
        )
    )
