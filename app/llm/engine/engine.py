"""The engine: add(), abort(), step(). No thread, clock, text or HTTP; it knows ids and one network.

Requests join and leave at every step (continuous batching, Yu et al. 2022). What a request gets depends on its own
prompt, parameters and seed alone, whoever shares its steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from app.llm.engine.kv_blocks import KVBlocks
from app.llm.engine.request import (
    Answer,
    Event,
    PromptScored,
    Request,
    RequestFailed,
    ScoredToken,
    TokenEvent,
    TopToken,
)
from app.llm.engine.runner import Runner, Wanted
from app.llm.engine.sampler import Draw, check_sound, draw_all
from app.llm.engine.scheduler import RunningRequest, Scheduler, Work
from app.llm.errors import ContextOverflow, LLMError, TokenIdOutOfRange

OF_ONE_REQUEST = (LLMError, MemoryError, torch.OutOfMemoryError)
"""What may go wrong with one request while the others go on."""


class Engine:
    """Continues many prompts with one network. To be used by one thread at a time."""

    def __init__(self, runner: Runner, *, prefill_chunk: int = 256) -> None:
        """Serve the network of `runner`, which nobody else runs.

        Args:
            prefill_chunk: prompt tokens read in one step, so that a long prompt does not keep the others waiting.
        """
        self._runner = runner
        self._blocks = KVBlocks(runner.block_count, runner.block_tokens)
        self._scheduler = Scheduler(self._blocks, prefill_chunk, shares_prefixes=runner.shares_prefixes)
        self.cached_tokens = 0
        """Tokens of prompts that did not have to be read: they were known from requests before."""

    @property
    def has_work(self) -> bool:
        return bool(self._scheduler.waiting or self._scheduler.running)

    @property
    def running(self) -> int:
        """Requests that hold memory."""
        return len(self._scheduler.running)

    def is_running(self, request_id: str) -> bool:
        """Whether a request holds memory: its turn has come, and it has not ended."""
        return request_id in self._scheduler.running

    @property
    def waiting(self) -> int:
        """Requests that wait for memory."""
        return len(self._scheduler.waiting)

    @property
    def reserved_tokens(self) -> int:
        """Tokens of the key–value memory that running requests hold, grown or not."""
        return self._scheduler.reserved

    @property
    def kv_cache_usage(self) -> float:
        """The part of the key–value memory that is reserved, 0 to 1."""
        return self._scheduler.reserved / self._scheduler.budget

    def check(self, request: Request) -> None:
        """Refuse what could never run, without taking it.

        Raises:
            ContextOverflow: prompt and new tokens exceed the context, or the whole key–value memory.
            TokenIdOutOfRange: an id of the prompt, or one with a bias, is outside the vocabulary.
            LLMError: an empty prompt.
        """
        config, params = self._runner.config, request.params
        if not request.prompt_ids:
            raise LLMError("a prompt needs at least one token")
        if params.max_new_tokens == 0 and request.prompt_logprobs is None:
            raise LLMError("a request without new tokens asks for nothing, unless for the prompt's log-probabilities")
        for what, limit in (("context", config.context_length), ("key–value memory", self._scheduler.budget)):
            if request.most_tokens > limit:
                raise ContextOverflow(
                    f"{len(request.prompt_ids)} prompt tokens and {params.max_new_tokens} new ones are more "
                    f"than the {what} of {limit}"
                )
        biased = [token_id for token_id, _ in params.logit_bias]
        for token_id in (min(request.prompt_ids), max(request.prompt_ids), *biased):
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
        """Advance the running requests, together: by one token each, or by a chunk of a prompt.

        A request whose logits are no numbers, or for which the device has no memory, ends with `RequestFailed`; the
        others go on. Any other exception is passed on; where it is one request's, that one was dropped.
        """
        works = self._scheduler.schedule()
        pairs = self._rows(works)
        draws = _draws(pairs)
        events: list[Event] = []
        for work, rows in pairs:
            request_id = work.running.request.id
            try:
                if isinstance(rows, Exception):
                    raise rows
                answers: list[Event] = list(self._advance(work, rows, draws.get(request_id)))
            except OF_ONE_REQUEST as error:
                answers = [RequestFailed(request_id, str(error))]
            except BaseException:
                self._scheduler.remove(request_id, is_sound=False)
                raise
            events += answers
            if answers and (isinstance(answers[-1], RequestFailed) or answers[-1].finish_reason is not None):
                is_sound = not isinstance(answers[-1], RequestFailed)
                self._scheduler.remove(request_id, is_sound=is_sound)
        return events

    def check_integrity(self) -> None:
        """Assert that the books balance: memory reserved, blocks held, requests in one place only."""
        scheduler = self._scheduler
        assert not scheduler.waiting.keys() & scheduler.running.keys()
        size = self._blocks.block_tokens
        reserved = sum(self._blocks.room(each.request.most_tokens) * size for each in scheduler.running.values())
        assert reserved == scheduler.reserved <= scheduler.budget
        self._blocks.check_integrity(running.blocks for running in scheduler.running.values())
        for running in scheduler.running.values():
            assert running.passed <= len(running.blocks) * size <= self._blocks.room(running.request.most_tokens) * size
            assert not (running.is_prefilling and running.new_ids)
            assert len(running.new_ids) < max(1, running.request.params.max_new_tokens)

    def _rows(self, works: Sequence[Work]) -> list[tuple[Work, Tensor | Exception]]:
        """Each work with its logits (R, V), or with what went wrong.

        Where the pass of all fails, each goes by itself: to pass a chunk again changes nothing.
        """
        if not works:
            return []
        try:
            logits = self._runner.run([work.chunk for work in works])
        except Exception as error:  # noqa: BLE001 - given back in the place of logits; `step` raises it
            if len(works) == 1:
                # A traceback holds on to what the pass has made; where memory is short, others are waiting for that.
                return [(works[0], error.with_traceback(None) if isinstance(error, OF_ONE_REQUEST) else error)]
        else:
            return _shared_out(works, logits)
        # Not before the exception is gone, and with it what the pass had made.
        return [pair for work in works for pair in self._rows([work])]

    def _advance(self, work: Work, rows: Tensor, drawn: Draw | Exception | None) -> list[Answer]:
        """Note that the work was done, and what comes of its logits and of the token that was drawn from the last."""
        running = work.running
        answers: list[Answer] = []
        if running.is_prefilling and work.start == running.cached:
            self.cached_tokens += running.cached
        if running.is_prefilling and running.request.prompt_logprobs is not None:
            _score(work, rows, running.request.prompt_logprobs)
        self._scheduler.passed(work)
        if not work.draws:
            return answers
        has_room = running.request.params.max_new_tokens > 0
        if running.scores:
            answers.append(PromptScored(running.request.id, tuple(running.scores), None if has_room else "length"))
            running.scores = []
        if isinstance(drawn, Exception):
            raise drawn
        if drawn is not None:
            answers.append(_token(running, drawn))
        return answers


def _shared_out(works: Sequence[Work], logits: Tensor) -> list[tuple[Work, Tensor | Exception]]:
    """Each work with its own of the wanted logits (_, V)."""
    rows: list[tuple[Work, Tensor | Exception]] = []
    first = 0
    for work in works:
        chunk = work.chunk
        count = {Wanted.NONE: 0, Wanted.LAST: 1, Wanted.ALL: len(chunk.ids)}[chunk.wanted]
        rows.append((work, logits[first : first + count]))
        first += count
    return rows


def _score(work: Work, rows: Tensor, count: int) -> None:
    """Note what the model thought of the tokens behind each of the chunk's, from their logits (T, V).

    Raises:
        BadLogits: they are no distributions.
    """
    check_sound(rows)
    running, prompt = work.running, work.running.request.prompt_ids
    if not running.scores:
        running.scores.append(ScoredToken(prompt[0], None, ()))
    following = prompt[work.start + 1 : work.start + 1 + len(work.ids)]
    for logits, token_id in zip(rows, following, strict=False):  # nothing follows the last one
        own = logits.log_softmax(-1)  # (V,)
        values, ids = own.topk(min(count, own.numel()))
        top = tuple(TopToken(*each, None) for each in zip(ids.tolist(), values.tolist(), strict=True))
        running.scores.append(ScoredToken(token_id, own[token_id].item(), top))


def _draws(pairs: Sequence[tuple[Work, Tensor | Exception]]) -> dict[str, Draw | Exception]:
    """The next tokens of all requests that draw one in this step, by their ids; or why one has none."""
    last = {
        work.running: rows[-1]
        for work, rows in pairs
        if isinstance(rows, Tensor) and work.draws and work.running.request.params.max_new_tokens > 0
    }
    if not last:
        return {}
    try:
        found = draw_all(torch.stack(list(last.values())), [running.sampler for running in last])
    except OF_ONE_REQUEST:  # memory, which is asked for before anything is drawn
        return {running.request.id: _draw(running, logits) for running, logits in last.items()}
    return {running.request.id: drawn for running, drawn in zip(last, found, strict=True)}


def _draw(running: RunningRequest, logits: Tensor) -> Draw | Exception:
    try:
        return draw_all(logits[None], [running.sampler])[0]
    except OF_ONE_REQUEST as error:
        return error


def _token(running: RunningRequest, drawn: Draw) -> TokenEvent:
    """What is told of the request's next token."""
    request, new_ids = running.request, running.new_ids
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
        logits=drawn.logits,
    )
