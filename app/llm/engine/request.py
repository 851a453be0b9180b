"""What goes into the engine and what comes out: a request, and one event a token."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from app.llm.config import SamplingParams

FinishReason = Literal["stop", "length", "abort"]


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt to continue. A new token of `stop_ids` ends it; in the prompt they are tokens like others."""

    id: str
    prompt_ids: tuple[int, ...]
    params: SamplingParams
    stop_ids: frozenset[int] = field(default_factory=frozenset)

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
    A stop token is an event, too: whoever shows text leaves it out.
    """

    request_id: str
    index: int
    token_id: int
    logprob: float
    sampled_logprob: float | None
    top: tuple[TopToken, ...]
    finish_reason: FinishReason | None


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """The request ended without another token: something broke that concerns it alone."""

    request_id: str
    message: str


Event = TokenEvent | RequestFailed
