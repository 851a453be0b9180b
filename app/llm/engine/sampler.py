"""Logits to a token (chapter 5): repetition penalty, temperature, top-k, top-p, min-p, one seeded draw.

The order is that of `transformers`; each filter works on what the one before left. Knows one position of one request.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.llm.config import SamplingParams
from app.llm.engine.request import TopToken
from app.llm.errors import LLMError


class BadLogits(LLMError):
    """The network gave something that is no distribution."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A token, its log-probability by the model and in what it was drawn from, and the model's likeliest tokens."""

    token_id: int
    logprob: float
    sampled_logprob: float
    top: tuple[TopToken, ...]


def draw(logits: Tensor, params: SamplingParams, seen_ids: Iterable[int], generator: torch.Generator) -> Draw:
    """Choose the next token.

    Args:
        logits: of the next token, (V,), on any device; not changed.
        params: temperature 0 takes the likeliest token, and the generator stays as it was.
        seen_ids: prompt and tokens so far, for the repetition penalty.
        generator: of the CPU, so that a seed means the same on every device.

    Raises:
        BadLogits: a logit is NaN or infinite, by itself or through the repetition penalty.
    """
    logits = _finite(logits.float().cpu(), "the network's logits are")  # (V,)
    own = logits.log_softmax(-1)  # (V,)
    sampled = distribution(penalise(logits, seen_ids, params.repetition_penalty), params)  # (V,)
    if params.temperature == 0:
        token_id = int(sampled.argmax())
    else:
        token_id = int(torch.multinomial(sampled.exp(), 1, generator=generator))
    return Draw(token_id, own[token_id].item(), sampled[token_id].item(), _top(own, sampled, params.top_logprobs))


def penalise(logits: Tensor, seen_ids: Iterable[int], penalty: float) -> Tensor:
    """Make tokens already seen less likely: positive logits divided, negative ones multiplied (Keskar et al. 2019).

    Raises:
        BadLogits: the penalty is so far from 1 that a logit becomes infinite.
    """
    if penalty == 1.0:
        return logits
    seen = torch.tensor(sorted(set(seen_ids)), dtype=torch.long)
    values = logits[seen]
    changed = torch.where(values > 0, values / penalty, values * penalty)
    return _finite(logits.index_put((seen,), changed), f"with repetition_penalty {penalty} the logits are")


def distribution(logits: Tensor, params: SamplingParams) -> Tensor:
    """Log-probabilities (V,) that the draw is made from; -inf for what the filters leave out, one token at least stays.

    Top-k keeps ties of the k-th, as the book does. Top-p keeps the smallest set of the likeliest tokens that reaches
    `top_p` (Holtzman et al. 2019); min-p what has at least `min_p` of the likeliest one's probability (Nguyen et
    al. 2024).
    """
    if params.temperature == 0:
        greedy = torch.full_like(logits, -torch.inf)
        greedy[logits.argmax()] = 0.0
        return greedy
    temperature = max(params.temperature, 1e-30)  # below that float32 knows little but 0
    scaled = (logits - logits.max()) / temperature  # at most 0, so that nothing overflows to NaN
    if params.top_k is not None and params.top_k < scaled.numel():
        scaled = scaled.masked_fill(scaled < scaled.topk(params.top_k).values[-1], -torch.inf)
    if params.top_p is not None and params.top_p < 1.0:
        values, order = scaled.softmax(-1).sort(descending=True, stable=True)
        before = values.cumsum(-1) - values  # probability of all that are likelier
        removed = order[1:][before[1:] >= params.top_p]  # the likeliest stays, however small top_p
        scaled = scaled.index_fill(0, removed, -torch.inf)
    if params.min_p:
        scaled = scaled.masked_fill(scaled < math.log(params.min_p), -torch.inf)
    return scaled.log_softmax(-1)


def _finite(logits: Tensor, what: str) -> Tensor:
    if not logits.sum().isfinite():  # one NaN or infinity takes the sum with it
        raise BadLogits(f"{what} no distribution: NaN or infinity is among them")
    return logits


def _top(own: Tensor, sampled: Tensor, count: int) -> tuple[TopToken, ...]:
    """The `count` likeliest tokens by the model's own log-probabilities (V,)."""
    if count == 0:
        return ()
    values, ids = own.topk(min(count, own.numel()))
    after = [value if math.isfinite(value) else None for value in sampled[ids].tolist()]
    return tuple(TopToken(*each) for each in zip(ids.tolist(), values.tolist(), after, strict=True))
