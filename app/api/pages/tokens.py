"""The page of tokens: a text as a model reads it, live. Without JavaScript the server lists the first tokens itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel

from app.api.deps import ReadSession, RuntimeDep
from app.api.pages.render import render
from app.errors import AppError
from app.llm.tokenizer.base import Token
from app.services import tokens
from app.services.runtime import Runtime

router = APIRouter(include_in_schema=False)

FIRST_TEXT = "Hello, world! Inkling turns text into tokens, and tokens back into text."
LISTED = 1000
"""Tokens that a page without JavaScript lists."""

SAMPLES = (
    ("a sentence", "Hello, do you like tea? In the sunlit terraces of someunknownPlace."),
    ("rare words", "Antidisestablishmentarianism is unbelievably uncharacteristic."),
    ("numbers", "In 1969 it was 384,400 km; 3.14159265 and 2^31 = 2147483648"),
    ("code", "def square(x):\n    return x ** 2\n\nprint(square(12))"),
    ("languages", "Zażółć gęślą jaźń · Привет, мир · こんにちは世界 · שלום"),
    ("emoji", "👩‍🚀 to the 🌙: one small step 👣"),
)


class Asked(BaseModel):
    """What the address says; what is for the parts that a script draws is left to it."""

    text: str | None = None
    tokenizer: str = ""
    specials: str = ""
    plain: str | None = None
    """There where a form was sent without JavaScript."""


@dataclass(frozen=True)
class Listed:
    """The first tokens of a text, and how many there are."""

    tokens: Sequence[Token]
    count: int


@dataclass(frozen=True)
class TokensPage:
    template: ClassVar[str] = "tokens.html"
    place: ClassVar[str] = "tokens"
    samples: ClassVar[tuple[tuple[str, str], ...]] = SAMPLES
    first_text: ClassVar[str] = FIRST_TEXT

    default_tokenizer: str
    tokenizers: tuple[str, ...]
    max_text_bytes: int
    asked: Asked
    listed: Listed | None = None
    refused: tuple[str, str] | None = None
    """The field of the form that something is wrong with, and what."""


def _tokenizer_names(session: ReadSession, runtime: RuntimeDep) -> tuple[str, ...]:
    infos, _ = runtime.tokenizers.page(session, None, 1000)
    return tuple(info.name for info in infos if info.available)


@router.get("/ui/tokenizers")
def tokenizers(request: Request) -> RedirectResponse:
    """Where tokenizers were trained and compared before."""
    return RedirectResponse(f"/ui/tokens?{request.url.query}".rstrip("?"), status_code=301)


@router.get("/ui/tokens")
def show(
    runtime: RuntimeDep,
    names: Annotated[tuple[str, ...], Depends(_tokenizer_names)],
    asked: Annotated[Asked, Query()],
) -> HTMLResponse:
    """Show the form and the parts that a script fills; to who has none, the tokens."""
    settings = runtime.settings
    known = (settings.default_tokenizer, names, settings.max_text_bytes, asked)
    if asked.plain is None:
        return render(TokensPage(*known))
    try:
        listed = _listed(runtime, asked)
    except AppError as error:
        refused = ("tokenizer" if error.param == "tokenizer" else "text", error.message.removeprefix("text: "))
        return render(TokensPage(*known, refused=refused), status=error.status)
    return render(TokensPage(*known, listed=listed))


def _listed(runtime: Runtime, asked: Asked) -> Listed:
    """
    Raises:
        AppError: no such tokenizer, or it cannot read this text.
    """
    text = FIRST_TEXT if asked.text is None else asked.text
    tokens.check_size([text], runtime.settings.max_text_bytes)
    with runtime.database.read() as session:
        name = asked.tokenizer or runtime.settings.default_tokenizer
        tokenizer = runtime.tokenizers.get(session, name, "tokenizer")
    ids = tokens.encode(tokenizer, text, parse_special=asked.specials == "parse")
    return Listed(list(islice(tokenizer.walk(text, ids), LISTED)), len(ids))
