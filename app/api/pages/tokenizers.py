"""The page of tokenizers: the list, the form that trains one, a comparison, and the merges of a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from app.api.deps import RuntimeDep
from app.api.pages.render import render

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True)
class TokenizersPage:
    template: ClassVar[str] = "tokenizers.html"
    place: ClassVar[str] = "tokenizers"

    default_tokenizer: str


@router.get("/ui/tokenizers")
def tokenizers(runtime: RuntimeDep) -> HTMLResponse:
    """Show all tokenizers, and what each makes of a text."""
    return render(TokenizersPage(runtime.settings.default_tokenizer))
