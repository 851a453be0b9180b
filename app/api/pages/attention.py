"""Attention of any model over the reader's own text. Without JavaScript the server draws the essentials itself."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel

from app.api.deps import ReadSession, RuntimeDep
from app.api.held import PlacesDep
from app.api.pages.attention_reading import Place, Reading, read
from app.api.pages.render import render
from app.errors import AppError, InvalidRequest
from app.services import jobs

router = APIRouter(include_in_schema=False)

STAGES = (
    ("scores", "Scores", "q·k / √D: how well each query fits each key"),
    ("masked", "Masked", "keys that come later are struck out"),
    ("attention", "Softmax", "each row as shares that sum to one"),
)
"""The three steps to an attention matrix: name in the API, label, what is done."""

FIRST_TEXT = "The capital of France is"
MOST_CHECKPOINTS = 100
MOST_TOKENS = 512
"""Beyond it a page is no longer where one looks; the API takes as many as the model."""


class Asked(BaseModel):
    """What the address says, as it was typed; what else is in it is left alone."""

    text: str | None = None
    model: str = ""
    checkpoint: str = ""
    layer: str = ""
    head: str = ""
    token: str = ""
    plain: str | None = None
    """There where a form was sent without JavaScript: the server is to show what a script would."""

    @property
    def named(self) -> str:
        """The model: a checkpoint typed beside the choice is meant rather than the choice."""
        return self.checkpoint.strip() or self.model

    def place(self, default_model: str) -> Place:
        """
        Raises:
            InvalidRequest: a layer, head or token that is no number.
        """
        layer, head, token = (_whole(name, getattr(self, name)) for name in ("layer", "head", "token"))
        text = FIRST_TEXT if self.text is None else self.text
        return Place(text, self.named or default_model, layer or 0, head or 0, token)


@dataclass(frozen=True)
class Checkpoint:
    """One to choose: its name as a model, and what it is of."""

    name: str
    about: str


@dataclass(frozen=True)
class AttentionPage:
    template: ClassVar[str] = "attention.html"
    place: ClassVar[str] = "attention"
    stages: ClassVar[tuple[tuple[str, str, str], ...]] = STAGES
    first_text: ClassVar[str] = FIRST_TEXT
    most_tokens: ClassVar[int] = MOST_TOKENS

    default_model: str
    models: tuple[str, ...]
    checkpoints: tuple[Checkpoint, ...]
    """The newest ones; any other can be typed."""
    asked: Asked
    reading: Reading | None = None
    refused: dict[str, str] = field(default_factory=dict)
    """By field of the form what is wrong with it; "" for what is about none of them."""


def _model_names(session: ReadSession, runtime: RuntimeDep) -> tuple[str, ...]:
    return tuple(info.name for info in runtime.catalogue.list(session))


def _checkpoints(session: ReadSession) -> tuple[Checkpoint, ...]:
    found = jobs.newest_checkpoints(session, MOST_CHECKPOINTS)
    return tuple(Checkpoint(row.id, f"{name}, step {row.step:,}") for row, name in found)


@router.get("/ui/inspect")
async def inspect(request: Request) -> RedirectResponse:
    """Where this page stood before."""
    return RedirectResponse(f"/ui/attention?{request.url.query}".rstrip("?"), status_code=301)


@router.get("/ui/attention")
async def attention(
    runtime: RuntimeDep,
    places: PlacesDep,
    models: Annotated[tuple[str, ...], Depends(_model_names)],
    checkpoints: Annotated[tuple[Checkpoint, ...], Depends(_checkpoints)],
    asked: Annotated[Asked, Query()],
) -> HTMLResponse:
    """Show the form and the empty panels; to who has no JavaScript, what they would show."""
    settings = runtime.settings
    page = AttentionPage(settings.default_model, models, checkpoints, asked)
    if asked.plain is None:
        return render(page)
    try:
        reading = await read(runtime, places, asked.place(settings.default_model), MOST_TOKENS)
    except AppError as error:
        field_name = _field_of(error.param)
        refused = {field_name: error.message.removeprefix(f"{error.param}: ")}
        return render(replace(page, refused=refused), status=error.status)
    return render(replace(page, reading=reading))


def _whole(name: str, typed: str) -> int | None:
    if not typed.strip():
        return None
    if not typed.strip().isdecimal() or len(typed) > 9:
        raise InvalidRequest(f"{name}: must be a whole number from 0", param=name)
    return int(typed)


def _field_of(param: str | None) -> str:
    """The field of the form that a refusal of POST /inspect is about: `layers.0` is the layer."""
    name = (param or "").split(".")[0].removesuffix("s")
    return name if name in Asked.model_fields else ""
