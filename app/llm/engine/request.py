"""What goes into the engine and what comes out: a request, and one event a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from app.llm.config import SamplingParams
from app.llm.engine.kv_blocks import ROOT
from app.llm.model.adapter import Adapter

FinishReason = Literal["stop", "length", "abort"]


class Constraint(Protocol):
    """What may come next, by a grammar of which the engine knows nothing. Belongs to one request."""

    def allowed(self) -> Tensor:
        """Which tokens may come next: bool (V,), at least one of them True."""
        ...

    def accept(self, token_id: int) -> None:
        """`token_id`, one of those allowed, was drawn."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to continue. A new token of `stop_ids` ends it; in the prompt they are tokens like others.

    `prompt_logprobs`: how many of the likeliest tokens to tell at each place of the prompt, 0 for the prompt's own
    alone; None for nothing about the prompt. `logits`: tell those that the first new token was drawn from.
    `constraint`: tokens it does not allow have no chance.
    `adapter`: what stands beside the network's layers for this request alone.
    """

    id: str
    prompt_ids: tuple[int, ...]
    params: SamplingParams
    stop_ids: frozenset[int] = field(default_factory=frozenset)
    prompt_logprobs: int | None = None
    logits: bool = False
    constraint: Constraint | None = None
    adapter: Adapter | None = None

    @property
    def root(self) -> int:
        """Where its text begins among those whose keys and values are known: only such of its adapter may serve it."""
        return ROOT if self.adapter is None else -self.adapter.number

    @property
    def most_tokens(self) -> int:
        """Tokens it holds at its longest."""
        return len(self.prompt_ids) + self.params.max_new_tokens


@dataclass(frozen=True, slots=True)
class TopToken:
    """A token that could have come: log-probability by the model, and after temperature and filters (None: out)."""

    token_id: int
    logprob: float
    sampled_logprob: float | None


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One new token of one request; `index` counts from 0. The last one carries why the request ended.

    `logprob` is the model's own, before penalty and temperature; `sampled_logprob` that of the distribution the
    token was drawn from. `top` has the likeliest tokens by the model's own view, likeliest first.
    A stop token is an event, too: whoever shows text leaves it out. `logits` (V,) come with the first token of a
    request that asks for them, as the network gave them.
    """

    request_id: str
    index: int
    token_id: int
    logprob: float
    sampled_logprob: float | None
    top: tuple[TopToken, ...]
    finish_reason: FinishReason | None
    logits: Tensor | None = None


@dataclass(frozen=True, slots=True)
class ScoredToken:
    """A token of the prompt; what the model thought of it and of others at its place. None for the first one."""

    token_id: int
    logprob: float | None
    top: tuple[TopToken, ...]


@dataclass(frozen=True, slots=True)
class PromptScored:
    """The prompt as the model reads it; comes once, before the first token, to those who asked for it.

    A request without new tokens (`max_new_tokens` 0) ends with it, and `finish_reason` is then "length".
    """

    request_id: str
    tokens: tuple[ScoredToken, ...]
    finish_reason: FinishReason | None


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The request ended without another token: something broke that concerns it alone."""

    request_id: str
    message: str


Answer = TokenEvent | PromptScored
Event = Answer | RequestFailed
