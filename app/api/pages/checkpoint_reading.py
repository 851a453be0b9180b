"""What a page without JavaScript shows of a prompt at one checkpoint: the text, and what is likeliest to follow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import to_thread

from app.api.held import Places
from app.api.pages.attention_reading import Likely, likely
from app.schemas.classify import ClassifyIn
from app.schemas.generate import GenerateIn
from app.schemas.inspect import InspectIn
from app.services import classification, generation, inspection
from app.services.runtime import Runtime

_TOP = 8


@dataclass(frozen=True)
class Seen:
    text: str | None
    """None where the checkpoint tells classes."""
    likely: Sequence[Likely]
    """The next tokens, or the classes."""


async def classes(runtime: Runtime, places: Places, model: str, prompt: str) -> Seen:
    """The chances of a text's classes.

    Raises:
        AppError: as `services.classification.prepare`.
    """
    question = await to_thread.run_sync(classification.prepare, runtime, ClassifyIn(model=model, input=prompt))
    found = await _in_place(runtime, places, lambda: json.loads(b"".join(question.answer(lambda: True))))
    return Seen(None, [Likely(name, share) for name, share in found["data"][0]["probabilities"].items()])


async def text(
    runtime: Runtime, places: Places, model: str, prompt: str, is_chat: bool, sample: str | None, most_tokens: int
) -> Seen:
    """What is likeliest to follow, and the text: the sample where there is one, else the likeliest tokens in a row.

    Raises:
        AppError: as `services.inspection.prepare` and `services.generation.prepare`.
    """
    turns = [{"role": "user", "content": prompt}]
    source: dict[str, Any] = {"model": model, **({"messages": turns} if is_chat else {"text": prompt})}
    whole = await inspection.prepare(runtime, InspectIn(**source, tokens=[0], want=["next"]))
    last = len(whole.ids) - 1
    looked = await inspection.prepare(runtime, InspectIn(**source, tokens=[last], want=["next"], top=_TOP))
    found = await _in_place(runtime, places, lambda: json.loads(b"".join(looked.open(lambda: True))))
    if sample is None:
        room = max(1, min(most_tokens, whole.model.config.context_length - len(whole.ids)))
        begun = {"messages": turns} if is_chat else {"prompt": prompt}
        asked: dict[str, Any] = {"model": model, "max_new_tokens": room, "temperature": 0, **begun}
        sample = ("" if is_chat else prompt) + await _written(runtime, GenerateIn(**asked))
    return Seen(sample, [likely(one) for one in found["next"][0]["top"]])


async def _written(runtime: Runtime, asked: GenerateIn) -> str:
    writing = await generation.prepare(runtime, asked)
    try:
        writing.start()
        return (await writing.collect())[0].text
    finally:
        writing.close()


async def _in_place(runtime: Runtime, places: Places, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    await places.take(runtime.settings.max_queued_requests)
    try:
        return await to_thread.run_sync(work)
    finally:
        places.give_back()
