"""Who runs in a step. Requests join in the order they came, once their tokens fit the key–value budget.

Knows counts of tokens alone, neither network nor logits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import torch

from app.llm.engine.request import Request
from app.llm.errors import LLMError
from app.llm.model.kv_cache import KVCache


@dataclass(eq=False, slots=True)
class RunningRequest:
    """A request that was admitted, and how far it is."""

    request: Request
    generator: torch.Generator
    cache: KVCache | None = None
    prefilled: int = 0
    new_ids: list[int] = field(default_factory=list)

    @property
    def is_prefilling(self) -> bool:
        return self.prefilled < len(self.request.prompt_ids)


@dataclass(frozen=True, slots=True)
class Work:
    """What one request does in this step: pass `ids` through the network, then draw a token if `draws`."""

    running: RunningRequest
    ids: tuple[int, ...]
    draws: bool


class Scheduler:
    """Waiting and running requests within a budget of tokens.

    A running request holds its whole room (prompt and new tokens) from the start, so that it never has to be
    interrupted. Long requests, those of more than a quarter of the budget, share three quarters
    of it among them: a few of them, which run for many minutes, cannot keep everybody else waiting.

    A long prompt is read in chunks, which begin at multiples of `prefill_chunk` whatever else is
    running: a request passes through the network in the same pieces, hence to the same numbers, alone or not.
    """

    def __init__(self, budget: int, prefill_chunk: int) -> None:
        self.budget, self.prefill_chunk = budget, prefill_chunk
        self.reserved = 0
        self.reserved_by_long = 0
        self.waiting: OrderedDict[str, Request] = OrderedDict()
        self.running: OrderedDict[str, RunningRequest] = OrderedDict()

    def add(self, request: Request) -> None:
        """Let it wait its turn.

        Raises:
            LLMError: another request has its id.
        """
        if request.id in self.waiting or request.id in self.running:
            raise LLMError(f"there is a request {request.id!r} already")
        self.waiting[request.id] = request

    def remove(self, request_id: str) -> None:
        """Forget a request, wherever it is, and give its memory back; nothing happens if it is not known."""
        self.waiting.pop(request_id, None)
        running = self.running.pop(request_id, None)
        if running is not None:
            self._reserve(running.request, -1)

    def schedule(self) -> list[Work]:
        """Admit what fits, then: a token for each request that is past its prompt, and some prompt for the others.

        Prompts get `prefill_chunk` tokens a step between them, so that those who are past theirs wait for no more.
        """
        self._admit()
        room, work = self.prefill_chunk, []
        for running in self.running.values():
            if not running.is_prefilling:
                work.append(Work(running, (running.new_ids[-1],), draws=True))
                continue
            prompt, start = running.request.prompt_ids, running.prefilled
            chunk = prompt[start : start + self.prefill_chunk]
            if len(chunk) <= room:
                work.append(Work(running, chunk, draws=start + len(chunk) == len(prompt)))
            room -= len(chunk)  # below 0 for those that come later: nobody overtakes
        return work

    def _admit(self) -> None:
        for request in list(self.waiting.values()):
            if self._is_long(request) and not self._long_has_room(request):
                continue  # it waits for another long one: shorter ones may pass
            if self.reserved + request.most_tokens > self.budget:
                break  # nobody overtakes, else a long request might wait for ever
            del self.waiting[request.id]
            self._reserve(request, 1)
            generator = torch.Generator().manual_seed(request.params.seed)
            self.running[request.id] = RunningRequest(request, generator)

    def _reserve(self, request: Request, sign: int) -> None:
        self.reserved += sign * request.most_tokens
        if self._is_long(request):
            self.reserved_by_long += sign * request.most_tokens

    def _is_long(self, request: Request) -> bool:
        return request.most_tokens > self.budget // 4

    def _long_has_room(self, request: Request) -> bool:
        """One long request always has, whatever its length."""
        return self.reserved_by_long == 0 or self.reserved_by_long + request.most_tokens <= self.budget * 3 // 4
