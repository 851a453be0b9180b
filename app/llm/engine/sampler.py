"""Logits to a token (chapter 5): penalties, bias, constraint, temperature, top-k, top-p, min-p, one seeded draw.

The order is that of `transformers` and vLLM; each filter works on what the one before left. Knows one request; what it
draws hangs on nobody else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from app.llm.config import SamplingParams
from app.llm.engine.request import Request, TopToken
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


TOP_P_FIRST = 512
"""So many of the likeliest tokens mostly reach `top_p`: sorting them alone is a hundred times cheaper than all."""


class Sampler:
    """What one request's draws remember: its generator, and what it has seen and written, where that counts."""

    def __init__(self, request: Request) -> None:
        params = request.params
        self._params, self._constraint = params, request.constraint
        self._generator = torch.Generator().manual_seed(params.seed)
        self._seen = set(request.prompt_ids) if params.repetition_penalty != 1.0 else None
        self._written: Counter[int] | None = Counter() if params.presence_penalty or params.frequency_penalty else None

    def draw(self, logits: Tensor) -> Draw:
        """The next token from its logits (V,).

        Raises:
            BadLogits: as `draw`.
        """
        drawn = draw(logits, self._params, self._seen or (), self._generator, adjust=self._adjusted)
        if self._seen is not None:
            self._seen.add(drawn.token_id)
        if self._written is not None:
            self._written[drawn.token_id] += 1
        if self._constraint is not None:
            self._constraint.accept(drawn.token_id)
        return drawn

    def _adjusted(self, logits: Tensor) -> Tensor:
        params = self._params
        if self._written:
            counts = torch.tensor(list(self._written.values()), dtype=torch.float32)
            taken = params.presence_penalty + params.frequency_penalty * counts
            logits = logits.index_add(0, torch.tensor(list(self._written)), -taken)
        if params.logit_bias:
            ids, biases = zip(*params.logit_bias, strict=True)
            logits = logits.index_add(0, torch.tensor(ids), torch.tensor(biases))
        if self._constraint is not None:
            logits = logits.masked_fill(~self._constraint.allowed(), -torch.inf)
        return logits


def draw(
    logits: Tensor,
    params: SamplingParams,
    seen_ids: Iterable[int],
    generator: torch.Generator,
    adjust: Callable[[Tensor], Tensor] | None = None,
) -> Draw:
    """Choose the next token.

    Args:
        logits: of the next token, (V,), on any device; not changed.
        params: temperature 0 takes the likeliest token, and the generator stays as it was.
        seen_ids: prompt and tokens so far, for the repetition penalty.
        generator: of the CPU, so that a seed means the same on every device.
        adjust: changes the logits before temperature; what it sets to -inf has no chance.

    Raises:
        BadLogits: a logit is NaN or infinite, by itself or through the repetition penalty.
    """
    logits = _finite(logits.float().cpu(), "the network's logits are")  # (V,)
    own = logits.log_softmax(-1)  # (V,)
    changed = penalise(logits, seen_ids, params.repetition_penalty)
    if adjust is not None:
        changed = adjust(changed)
    if params.temperature == 0:
        token_id = int(changed.argmax())
        return Draw(token_id, own[token_id].item(), 0.0, _top(own, {token_id: 0.0}.get, params.top_logprobs))
    sampled = distribution(changed, params)  # (V,)
    token_id = _choose(sampled, generator)
    return Draw(
        token_id, own[token_id].item(), sampled[token_id].item(), _top(own, _finite_of(sampled), params.top_logprobs)
    )


def _choose(sampled: Tensor, generator: torch.Generator) -> int:
    """One draw; a random number for each token that has a chance, as torch.multinomial takes them."""
    left = sampled.isfinite().nonzero()[:, 0]
    return int(left[torch.multinomial(sampled[left].exp(), 1, generator=generator)])


def _finite_of(sampled: Tensor) -> Callable[[int], float | None]:
    def finite(token_id: int) -> float | None:
        value = sampled[token_id].item()
        return value if math.isfinite(value) else None

    return finite


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
        scaled = _likeliest(scaled, params.top_p)
    if params.min_p:
        scaled = scaled.masked_fill(scaled < math.log(params.min_p), -torch.inf)
    return scaled.log_softmax(-1)


def _likeliest(scaled: Tensor, top_p: float) -> Tensor:
    """`scaled` (V,) without what lies beyond the smallest set of the likeliest that reaches `top_p`."""
    probabilities = scaled.softmax(-1)
    for count in (TOP_P_FIRST, scaled.numel()):
        if count >= scaled.numel():
            values, order = probabilities.sort(descending=True, stable=True)
        else:
            values, order = probabilities.topk(count)
        before = values.cumsum(-1) - values  # probability of all that are likelier
        if before[-1] >= top_p or count >= scaled.numel():
            break
    kept = order[: max(1, int((before < top_p).sum()))]  # the likeliest stays, however small top_p
    return torch.full_like(scaled, -torch.inf).index_copy(0, kept, scaled[kept])


def _finite(logits: Tensor, what: str) -> Tensor:
    if not logits.sum().isfinite():  # one NaN or infinity takes the sum with it
        raise BadLogits(f"{what} no distribution: NaN or infinity is among them")
    return logits


def _top(own: Tensor, sampled: Callable[[int], float | None], count: int) -> tuple[TopToken, ...]:
    """The `count` likeliest tokens by the model's own log-probabilities (V,)."""
    if count == 0:
        return ()
    values, ids = own.topk(min(count, own.numel()))
    return tuple(TopToken(id_, value, sampled(id_)) for id_, value in zip(ids.tolist(), values.tolist(), strict=True))
