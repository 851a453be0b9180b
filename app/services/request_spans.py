"""What one engine's requests wait for and do, as spans: the queue, the prompt, the tokens.

They are made once a request has ended, from times that were noted; where no trace is made, `EngineWatch` does alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from opentelemetry.trace import SpanContext
from opentelemetry.util.types import AttributeValue

from app.llm.engine.request import Event, Request, TokenEvent
from app.services import tracing
from app.services.metrics import EngineWatch, Metrics


class Engine(Protocol):
    """What is asked of the engine."""

    def is_running(self, request_id: str) -> bool: ...


@dataclass(slots=True)
class _Noted:
    """Of one request; times are Unix time in nanoseconds."""

    under: SpanContext  # the HTTP request that asked for it
    prompt_tokens: int
    taken: int
    begun: int | None = None  # its turn came
    first: int | None = None  # token
    tokens: int = 0


class TracedWatch(EngineWatch):
    """Sees what `EngineWatch` sees, and has each request tell of itself."""

    def __init__(self, metrics: Metrics, model: str, engine: Engine) -> None:
        super().__init__(metrics, model)
        self._tracing, self._name, self._engine = metrics.tracing, model, engine
        self._noted: dict[str, _Noted] = {}
        self._stepped = 0  # when the last step ended

    def taken(self, requests: Iterable[Request]) -> None:
        requests = list(requests)
        super().taken(requests)
        under = tracing.current()
        if under is not None:
            now = time.time_ns()
            self._noted |= {each.id: _Noted(under, len(each.prompt_ids), now) for each in requests}

    def delivered(self, events: Iterable[Event]) -> None:
        events = list(events)
        now = time.time_ns()
        answered = {event.request_id for event in events}
        for request_id, noted in list(self._noted.items()):
            if noted.begun is None and (request_id in answered or self._engine.is_running(request_id)):
                noted.begun = max(noted.taken, self._stepped)  # with the step that has just ended
        for event in events:
            one = self._noted.get(event.request_id)
            if one is not None and isinstance(event, TokenEvent):
                one.first = one.first or now
                one.tokens += 1
        super().delivered(events)
        self._stepped = time.time_ns()

    def dropped(self, request_ids: Iterable[str], reason: str) -> None:
        request_ids = list(request_ids)
        super().dropped(request_ids, reason)
        for request_id in request_ids:
            noted = self._noted.pop(request_id, None)
            if noted is not None:
                self._tell(request_id, noted, reason)

    def _tell(self, request_id: str, noted: _Noted, reason: str) -> None:
        ended, past = time.time_ns(), self._tracing.past
        whole: dict[str, AttributeValue] = {"model": self._name, "request": request_id, "reason": reason}
        whole |= {"prompt_tokens": noted.prompt_tokens, "tokens": noted.tokens}
        under = past("generate", noted.under, noted.taken, ended, whole)
        past("queue", under, noted.taken, noted.begun or ended, {})
        if noted.begun is not None:
            past("prefill", under, noted.begun, noted.first or ended, {"prompt_tokens": noted.prompt_tokens})
        if noted.first is not None:
            past("decode", under, noted.first, ended, {"tokens": noted.tokens})


def watch_of(metrics: Metrics, model: str, engine: Engine) -> EngineWatch:
    """What counts for one engine, and tells of each request where traces are made."""
    return TracedWatch(metrics, model, engine) if metrics.tracing.is_on else metrics.watch(model)
