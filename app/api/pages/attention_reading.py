"""What a page without JavaScript shows of an opened pass: the four stages of one head for one token, in rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from app.api.held import Places
from app.errors import ContextLengthExceeded, InvalidRequest
from app.schemas.inspect import InspectIn, Want
from app.services.inspection import Inspection, prepare
from app.services.runtime import Runtime

_STAGES: tuple[Want, ...] = ("queries", "keys", "values", "products", "scores", "masked", "attention", "context")
_TOP = 5


@dataclass(frozen=True)
class Place:
    """What is looked at; `token` None: the last one."""

    text: str
    model: str
    layer: int
    head: int
    token: int | None


@dataclass(frozen=True)
class Token:
    text: str
    loss: float | None
    rank: int | None
    """Both None for the first token, which nothing comes before."""


@dataclass(frozen=True)
class Looked:
    """One token as the chosen one sees it; `masked` None where it comes later."""

    text: str
    product: float | None
    score: float | None
    masked: float | None
    weight: float | None


@dataclass(frozen=True)
class Likely:
    text: str
    share: float


@dataclass(frozen=True)
class Reading:
    place: Place
    token: int
    layers: int
    heads: int
    tokens: Sequence[Token]
    query: Sequence[float | None]
    key: Sequence[float | None]
    value: Sequence[float | None]
    looked: Sequence[Looked]
    context: Sequence[float | None]
    lens: Sequence[Likely]
    """After each layer the likeliest token to follow the chosen one."""
    next: Sequence[Likely]
    """What follows the text."""


async def read(runtime: Runtime, places: Places, place: Place, most_tokens: int) -> Reading:
    """Read the text and look at one head, at one token.

    Raises:
        ContextLengthExceeded: more than `most_tokens`.
        AppError: as `services.inspection.prepare`.
    """
    if not place.text:
        raise InvalidRequest("text: must not be empty", param="text")
    source: dict[str, Any] = {"model": place.model, "text": place.text}
    first = await prepare(runtime, InspectIn(**source, want=["loss"]))
    if (count := len(first.ids)) > most_tokens:
        message = f"text: this page shows up to {most_tokens} tokens, and the text has {count:,}; the API takes more"
        raise ContextLengthExceeded(message, param="text")
    token = count - 1 if place.token is None else place.token
    head: dict[str, Any] = {"layers": [place.layer], "heads": [place.head], "tokens": [token]}
    asked = [
        first,
        await prepare(runtime, InspectIn(**source, **head, want=list(_STAGES))),
        await prepare(runtime, InspectIn(**source, tokens=[token], want=["logit_lens"], top=1)),
        await prepare(runtime, InspectIn(**source, tokens=[count - 1], want=["next"], top=_TOP)),
    ]
    await places.take(runtime.settings.max_queued_requests)
    try:
        losses, stages, lens, following = await to_thread.run_sync(_computed, asked)
    finally:
        places.give_back()
    return _reading(place, token, losses, stages, lens, following)


def _computed(asked: Sequence[Inspection]) -> list[dict[str, Any]]:
    return [json.loads(b"".join(each.open(lambda: True))) for each in asked]


def _reading(
    place: Place,
    token: int,
    losses: dict[str, Any],
    stages: dict[str, Any],
    lens: dict[str, Any],
    following: dict[str, Any],
) -> Reading:
    rows = {want: stages[want]["data"][0][0] for want in _STAGES}
    texts = [one["text"] for one in stages["tokens"]]
    own = [None, *losses["loss"]["tokens"]]
    columns = [rows[name][0] for name in ("products", "scores", "masked", "attention")]
    return Reading(
        place=place,
        token=token,
        layers=len(lens["layers"]),
        heads=len(lens["heads"]),
        tokens=[Token(text, one and one["loss"], one and one["rank"]) for text, one in zip(texts, own, strict=True)],
        query=rows["queries"][0],
        key=rows["keys"][token],
        value=rows["values"][token],
        looked=[Looked(*row) for row in zip(texts, *columns, strict=True)],
        context=rows["context"][0],
        lens=[likely(each["tokens"][0]["top"][0]) for each in lens["logit_lens"]],
        next=[likely(one) for one in following["next"][0]["top"]],
    )


def likely(one: dict[str, Any]) -> Likely:
    """A token of an answer's `top`, with its share."""
    return Likely(one["text"], 0.0 if one["logprob"] is None else math.exp(one["logprob"]))
