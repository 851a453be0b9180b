"""The first page: the tokens of a text, and the playground. What they show is fetched by the browser."""

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

SAMPLES = (
    ("a sentence", "Hello, do you like tea? In the sunlit terraces of someunknownPlace."),
    ("rare words", "Antidisestablishmentarianism is unbelievably uncharacteristic."),
    ("numbers", "In 1969 it was 384,400 km; 3.14159265 and 2^31 = 2147483648"),
    ("code", "def square(x):\n    return x ** 2\n\nprint(square(12))"),
    ("languages", "Zażółć gęślą jaźń · Привет, мир · こんにちは世界 · שלום"),
    ("emoji", "👩‍🚀 to the 🌙: one small step 👣"),
)


@dataclass(frozen=True)
class HomePage:
    template: ClassVar[str] = "home.html"
    place: ClassVar[str] = "tokens"
    headline: ClassVar[tuple[tuple[int, str], ...]] = HEADLINE
    samples: ClassVar[tuple[tuple[str, str], ...]] = SAMPLES

    default_tokenizer: str
    default_model: str
    max_text_bytes: int
    is_remote: bool
    """Another server generates: the models to choose from are its own."""


@router.get("/")
def home(runtime: RuntimeDep) -> HTMLResponse:
    """Show the token visualizer and the playground."""
    settings = runtime.settings
    return render(
        HomePage(
            default_tokenizer=settings.default_tokenizer,
            default_model=settings.default_model,
            max_text_bytes=settings.max_text_bytes,
            is_remote=settings.remote_url is not None,
        )
    )
