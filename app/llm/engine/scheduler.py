"""Who runs in a step. Requests join in the order they came, once their tokens fit the key–value budget.

Knows counts of tokens alone, neither network nor logits.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from app.llm.engine.kv_blocks import ROOT, KVBlocks
from app.llm.engine.request import Request, ScoredToken
from app.llm.engine.runner import Chunk, Wanted
from app.llm.engine.sampler import Sampler
from app.llm.errors import LLMError


@dataclass(eq=False, slots=True)
class RunningRequest:
    """A request that was admitted, and how far it is."""

    request: Request
    sampler: Sampler
    blocks: list[int] = field(default_factory=list)
    is_placed: bool = False
    prefilled: int = 0
    cached: int = 0  # tokens of the prompt that another request had read before
    new_ids: list[int] = field(default_factory=list)
    scores: list[ScoredToken] = field(default_factory=list)
    node: int = ROOT  # of its last known block
    known: int = 0  # blocks that are known

    @property
    def is_prefilling(self) -> bool:
        return self.prefilled < len(self.request.prompt_ids)

    def ids(self, start: int, end: int) -> tuple[int, ...]:
        """Tokens `start` to `end` - 1 of prompt and text."""
        prompt = self.request.prompt_ids
        if end <= len(prompt):
            return prompt[start:end]
        return prompt[start:] + tuple(self.new_ids[max(0, start - len(prompt)) : end - len(prompt)])

    @property
    def passed(self) -> int:
        """Tokens whose keys and values are in memory; the newest token is still to be passed."""
        return self.prefilled + max(0, len(self.new_ids) - 1)


@dataclass(frozen=True, slots=True)
class Work:
    """What one request does in this step: pass `ids`, which begin at `start`; then draw a token if `draws`."""

    running: RunningRequest
    ids: tuple[int, ...]
    start: int
    draws: bool

    @property
    def chunk(self) -> Chunk:
        scores = self.running.is_prefilling and self.running.request.prompt_logprobs is not None
        wanted = Wanted.ALL if scores else Wanted.LAST if self.draws else Wanted.NONE
        return Chunk(self.ids, self.start, self.running.blocks, wanted, self.running.request.adapter)


class Scheduler:
    """Waiting and running requests within a budget of tokens, counted in whole blocks.

    A running request holds its whole room (prompt and new tokens) from the start, so that it never has to be
    interrupted. Long requests, those of more than a quarter of the budget, share three quarters
    of it among them: a few of them, which run for many minutes, cannot keep everybody else waiting.

    A long prompt is read in chunks, which end at multiples of `prefill_chunk` whatever else is running.
    """

    def __init__(self, blocks: KVBlocks, prefill_chunk: int, *, shares_prefixes: bool = False) -> None:
        self.blocks, self.prefill_chunk, self._shares_prefixes = blocks, prefill_chunk, shares_prefixes
        self.budget = blocks.count * blocks.block_tokens
        self.waiting: OrderedDict[str, Request] = OrderedDict()
        self.running: OrderedDict[str, RunningRequest] = OrderedDict()
        self.reserved = 0
        self.reserved_by_long = 0

    def add(self, request: Request) -> None:
        """Let it wait its turn.

        Raises:
            LLMError: another request has its id.
        """
        if request.id in self.waiting or request.id in self.running:
            raise LLMError(f"there is a request {request.id!r} already")
        self.waiting[request.id] = request

    def remove(self, request_id: str, *, is_sound: bool = True) -> None:
        """Forget a request, wherever it is, and give its memory back; nothing happens if it is not known.

        Args:
            is_sound: what it computed may serve others.
        """
        self.waiting.pop(request_id, None)
        running = self.running.pop(request_id, None)
        if running is not None:
            self._reserve(running.request, -1)
            self.blocks.release(running.blocks, is_sound=is_sound)

    def schedule(self) -> list[Work]:
        """Admit what fits, then: a token for each request that is past its prompt, and some prompt for the others.

        Prompts get `prefill_chunk` tokens a step between them, so that those who are past theirs wait for no more.
        """
        self._admit()
        room, work = self.prefill_chunk, []
        for running in self.running.values():
            if not running.is_prefilling:
                work.append(self._work(running, (running.new_ids[-1],), running.passed))
                continue
            if room <= 0 or not self._place(running):
                continue
            prompt, start = running.request.prompt_ids, running.prefilled
            chunk = prompt[start : (start // self.prefill_chunk + 1) * self.prefill_chunk]
            if len(chunk) <= room:
                work.append(self._work(running, chunk, start))
            room -= len(chunk)  # below 0 for those that come later: nobody overtakes
        return work

    def passed(self, work: Work) -> None:
        """The work was done: the request is so much further, and its full blocks may serve others."""
        running = work.running
        if running.is_prefilling:
            running.prefilled += len(work.ids)
        if not self._shares_prefixes:
            return
        size, end = self.blocks.block_tokens, work.start + len(work.ids)
        while (running.known + 1) * size <= end:
            ids = running.ids(running.known * size, (running.known + 1) * size)
            running.node = self.blocks.know(running.blocks[running.known], running.node, ids)
            running.known += 1

    def _work(self, running: RunningRequest, ids: tuple[int, ...], start: int) -> Work:
        end = start + len(ids)
        while len(running.blocks) < self.blocks.room(end):
            running.blocks.append(self.blocks.take())
        return Work(running, ids, start, draws=end >= len(running.request.prompt_ids))

    def _place(self, running: RunningRequest) -> bool:
        """Take what is known of the prompt; False while another request is just reading the same beginning."""
        if running.is_placed:
            return True
        if self._shares_prefixes and running.request.prompt_logprobs is None:
            request = running.request
            if self._is_being_read(request):
                return False
            # One token is always computed.
            running.blocks, running.node = self.blocks.share(request.prompt_ids[:-1], request.root)
            running.known = len(running.blocks)
            running.prefilled = running.cached = running.known * self.blocks.block_tokens
        running.is_placed = True
        return True

    def _is_being_read(self, request: Request) -> bool:
        prompt, size = request.prompt_ids, self.blocks.block_tokens
        return len(prompt) > size and any(
            each.is_placed
            and each.is_prefilling
            and each.request.root == request.root
            and each.request.prompt_ids[:size] == prompt[:size]
            for each in self.running.values()
        )

    def _admit(self) -> None:
        for request in list(self.waiting.values()):
            if self._is_long(request) and not self._long_has_room(request):
                continue  # it waits for another long one: shorter ones may pass
            if self.reserved + self._room(request) > self.budget:
                break  # nobody overtakes, else a long request might wait for ever
            del self.waiting[request.id]
            self._reserve(request, 1)
            self.running[request.id] = RunningRequest(request, Sampler(request), node=request.root)

    def _reserve(self, request: Request, sign: int) -> None:
        self.reserved += sign * self._room(request)
        if self._is_long(request):
            self.reserved_by_long += sign * self._room(request)

    def _room(self, request: Request) -> int:
        """Tokens of the blocks it holds at its longest."""
        return self.blocks.room(request.most_tokens) * self.blocks.block_tokens

    def _is_long(self, request: Request) -> bool:
        return self._room(request) > self.budget // 4

    def _long_has_room(self, request: Request) -> bool:
        """One long request always has, whatever its length."""
        return self.reserved_by_long == 0 or self.reserved_by_long + self._room(request) <= self.budget * 3 // 4
