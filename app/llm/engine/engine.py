"""The engine: add(), abort(), step(). No thread, clock, text or HTTP; it knows ids and one network.

Requests join and leave at every step (continuous batching, Yu et al. 2022). What a request gets depends on its own
prompt, parameters and seed alone: it has a cache, forward passes and a generator of its own.
"""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

from app.llm.engine.request import Event, Request, RequestFailed, TokenEvent
from app.llm.engine.sampler import draw
from app.llm.engine.scheduler import RunningRequest, Scheduler, Work
from app.llm.errors import ContextOverflow, LLMError, TokenIdOutOfRange
from app.llm.model.transformer import Transformer


class Engine:
    """Continues many prompts with one network. To be used by one thread at a time."""

    def __init__(self, model: Transformer, *, kv_cache_tokens: int, prefill_chunk: int = 256) -> None:
        """Serve `model`, which is in evaluation mode, where it lies.

        Args:
            kv_cache_tokens: tokens that all running requests together may hold.
            prefill_chunk: prompt tokens read in one step, so that a long prompt does not keep the others waiting.
        """
        self._model = model
        self._scheduler = Scheduler(kv_cache_tokens, prefill_chunk)

    @property
    def has_work(self) -> bool:
        return bool(self._scheduler.waiting or self._scheduler.running)

    @property
    def running(self) -> int:
        """Requests that hold memory."""
        return len(self._scheduler.running)

    @property
    def waiting(self) -> int:
        """Requests that wait for memory."""
        return len(self._scheduler.waiting)

    @property
    def reserved_tokens(self) -> int:
        """Tokens of the key–value memory that running requests hold, grown or not."""
        return self._scheduler.reserved

    def check(self, request: Request) -> None:
        """Refuse what could never run, without taking it.

        Raises:
            ContextOverflow: prompt and new tokens exceed the context, or the whole key–value memory.
            TokenIdOutOfRange: an id of the prompt is outside the vocabulary.
            LLMError: an empty prompt.
        """
        config = self._model.config
        if not request.prompt_ids:
            raise LLMError("a prompt needs at least one token")
        for what, limit in (("context", config.context_length), ("key–value memory", self._scheduler.budget)):
            if request.most_tokens > limit:
                raise ContextOverflow(
                    f"{len(request.prompt_ids)} prompt tokens and {request.params.max_new_tokens} new ones are more "
                    f"than the {what} of {limit}"
                )
        for token_id in (min(request.prompt_ids), max(request.prompt_ids)):
            if not 0 <= token_id < config.vocab_size:
                raise TokenIdOutOfRange(token_id, config.vocab_size)

    def add(self, request: Request) -> None:
        """Take a request; it runs as soon as there is memory for it, in the order of arrival.

        Raises:
            ContextOverflow, TokenIdOutOfRange: as `check`.
            LLMError: as `check`; another request has its id.
        """
        self.check(request)
        self._scheduler.add(request)

    def abort(self, request_id: str) -> None:
        """Drop a request and its memory; no event follows. One that is not there is no error: it may have ended."""
        self._scheduler.remove(request_id)

    @torch.inference_mode()
    def step(self) -> list[Event]:
        """Advance the running requests: by one token each, or by a chunk of a prompt.

        A request whose logits are no numbers, or for which the device has no memory, ends with `RequestFailed`; the
        others go on. Any other exception is passed on, after its request was dropped.
        """
        events: list[Event] = []
        for work in self._scheduler.schedule():
            request_id = work.running.request.id
            try:
                event: Event | None = self._advance(work)
            except (LLMError, MemoryError, torch.OutOfMemoryError) as error:
                event = RequestFailed(request_id, str(error))
            except BaseException:
                self._scheduler.remove(request_id)
                raise
            if event is None:
                continue
            events.append(event)
            if isinstance(event, RequestFailed) or event.finish_reason is not None:
                self._scheduler.remove(request_id)
        return events

    def check_integrity(self) -> None:
        """Assert that the books balance: memory reserved, tokens in the caches, requests in one place only."""
        scheduler = self._scheduler
        assert not scheduler.waiting.keys() & scheduler.running.keys()
        reserved = sum(running.request.most_tokens for running in scheduler.running.values())
        assert reserved == scheduler.reserved <= scheduler.budget
        for running in scheduler.running.values():
            held = running.cache.length if running.cache else 0
            passed = running.prefilled + max(0, len(running.new_ids) - 1)  # the newest token is still to be passed
            assert held == passed < running.request.most_tokens
            assert not (running.is_prefilling and running.new_ids)
            assert len(running.new_ids) < running.request.params.max_new_tokens

    def _advance(self, work: Work) -> TokenEvent | None:
        """Pass the request's next tokens through the network; draw one if its prompt is done."""
        running = work.running
        if running.cache is None:
            running.cache = self._model.new_cache(1, running.request.most_tokens)
        device = next(self._model.parameters()).device
        ids = torch.tensor([work.ids], device=device)  # (1, T)
        hidden = self._model.hidden(ids, running.cache)  # (1, T, E)
        if running.is_prefilling:
            running.prefilled += len(work.ids)
        return self._draw(running, hidden[0, -1]) if work.draws else None

    def _draw(self, running: RunningRequest, hidden: Tensor) -> TokenEvent:
        """The request's next token, from the state (E,) of its newest one."""
        request, new_ids = running.request, running.new_ids
        seen_ids = chain(request.prompt_ids, new_ids)
        drawn = draw(self._model.head(hidden), request.params, seen_ids, running.generator)
        new_ids.append(drawn.token_id)
        is_full = len(new_ids) == request.params.max_new_tokens
        return TokenEvent(
            request_id=request.id,
            index=len(new_ids) - 1,
            token_id=drawn.token_id,
            logprob=drawn.logprob,
            sampled_logprob=drawn.sampled_logprob,
            top=drawn.top,
            finish_reason="stop" if drawn.token_id in request.stop_ids else "length" if is_full else None,
        )
