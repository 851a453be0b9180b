"""What a token is drawn from: logits to log-probabilities by temperature, top-k, top-p and min-p, many rows at once.

The order is that of `transformers` and vLLM; each filter works on what the one before left. What comes of a row hangs
on that row alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from app.llm.config import SamplingParams

LIKELY = (1e-3, 1e-5, 0.0)
"""Tokens that have such a share of the likeliest one's probability mostly reach `top_p`: few to sort instead of all."""
LEAST_TEMPERATURE = 1e-30  # below that float32 knows little but 0


def distributions(logits: Tensor, params: Sequence[SamplingParams]) -> Tensor:
    """Log-probabilities (R, V) that draws are made from; -inf for what the filters leave out, one token at least stays.

    Top-k keeps ties of the k-th, as the book does. Top-p keeps the smallest set of the likeliest tokens that reaches
    `top_p` (Holtzman et al. 2019); min-p what has at least `min_p` of the likeliest one's probability (Nguyen et
    al. 2024). Temperature 0 leaves the likeliest token alone.

    Args:
        logits: (R, V), float32, not changed.
        params: of each row.
    """
    best = logits.max(-1, keepdim=True).values
    temperatures = torch.tensor([max(each.temperature, LEAST_TEMPERATURE) for each in params])
    scaled = (logits - best) / temperatures[:, None]  # at most 0, so that nothing overflows to NaN
    for filtered, values in (
        (_top_k, [each.top_k if each.top_k is not None and each.top_k < logits.size(1) else None for each in params]),
        (_top_p, [each.top_p if each.top_p is not None and each.top_p < 1.0 else None for each in params]),
        (_min_p, [each.min_p or None for each in params]),
    ):
        rows = [row for row, value in enumerate(values) if value is not None]
        if rows:
            kept = filtered(take(scaled, rows), [value for value in values if value is not None])
            scaled = kept if len(rows) == len(scaled) else scaled.index_copy(0, torch.tensor(rows), kept)
    for row, each in enumerate(params):
        if each.temperature == 0:
            scaled[row].fill_(-torch.inf)[logits[row].argmax()] = 0.0
    return scaled.log_softmax(-1)


def take(matrix: Tensor, rows: Sequence[int]) -> Tensor:
    """Those rows; the matrix itself, not copied, where these are all."""
    return matrix if len(rows) == len(matrix) else matrix[torch.tensor(rows)]


def _top_k(scaled: Tensor, counts: list[float]) -> Tensor:
    ranks = torch.tensor([int(count) - 1 for count in counts])
    values = scaled.topk(int(ranks.max()) + 1).values  # (R, k)
    return scaled.masked_fill(scaled < values.gather(1, ranks[:, None]), -torch.inf)


def _top_p(scaled: Tensor, masses: list[float]) -> Tensor:
    probabilities = scaled.softmax(-1)
    kept = torch.full_like(scaled, -torch.inf)
    for row, mass in enumerate(masses):
        likeliest = _likeliest(probabilities[row], mass)
        kept[row, likeliest] = scaled[row, likeliest]
    return kept


def _likeliest(probabilities: Tensor, mass: float) -> Tensor:
    """The smallest set of the likeliest tokens of (V,) that reaches `mass`; one at least."""
    for share in LIKELY:
        candidates = (probabilities >= share * probabilities.max()).nonzero()[:, 0]
        values, order = probabilities[candidates].sort(descending=True, stable=True)
        before = values.cumsum(-1) - values  # probability of all that are likelier
        if before[-1] >= mass:
            break
    return candidates[order[: max(1, int((before < mass).sum()))]]


def _min_p(scaled: Tensor, shares: list[float]) -> Tensor:
    return scaled.masked_fill(scaled < torch.tensor([math.log(share) for share in shares])[:, None], -torch.inf)
