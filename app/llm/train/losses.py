"""Losses of the recipes. The next-token loss is taken in pieces, so that logits of all tokens never exist at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from app.llm.data.examples import IGNORED

LOGITS_AT_ONCE = 1 << 26
"""Logits of one piece: 1,335 tokens of GPT-2's vocabulary, 268 MB of float32. Each piece costs one more pass over the
gradient of the head's weight."""
IN_CACHE = 1 << 20
"""Logits that a processor turns into probabilities at once: what lies in its cache is read and written cheaply."""


def next_token_loss(hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Mean cross entropy of the targets under a head without bias: that of chapter 5, to rounding.

    Under autocast the products are in its type; softmax and loss are float32 at least.

    Args:
        hidden: states after the final norm, (B, T, E).
        targets: ids, (B, T); `IGNORED` ones do not count.
        weight: the head's, (V, E); a gradient goes to it where it needs one.

    Returns:
        A scalar; NaN where no target counts.
    """
    states, wanted = hidden.flatten(0, 1), targets.flatten()  # (N, E), (N,)
    device = states.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    if torch.is_grad_enabled():
        loss: Tensor = _PiecewiseLoss.apply(states, wanted, weight, dtype)  # type: ignore[no-untyped-call]  # untyped in torch
        return loss
    with torch.autocast(device, enabled=False):
        weight, total = weight.to(dtype), _zero(dtype, states)
        for rows in _pieces(states, weight):
            total += _into_gradient(states[rows].to(dtype) @ weight.T, wanted[rows])
        return total / _count(wanted)


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of class numbers (B,) under logits (B, C): chapter 6's."""
    return F.cross_entropy(logits, labels)


def _pieces(states: Tensor, weight: Tensor) -> Iterator[slice]:
    rows = max(1, LOGITS_AT_ONCE // weight.size(0))
    return (slice(start, start + rows) for start in range(0, len(states), rows))


def _zero(dtype: torch.dtype, like: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.promote_types(dtype, torch.float32), device=like.device)


def _into_gradient(logits: Tensor, targets: Tensor, scale: Tensor | None = None) -> Tensor:
    """The summed loss of `logits` (N, V), which are overwritten by their gradient times `scale`, where one is given.

    In bfloat16 a sum over a vocabulary is off by percents: a block at a time is widened.
    """
    total = _zero(logits.dtype, logits)
    rows = max(1, IN_CACHE // logits.size(1)) if logits.device.type == "cpu" else len(logits)
    for block, wanted in zip(torch.split(logits, rows), torch.split(targets, rows), strict=True):
        log_shares = F.log_softmax(block, dim=-1, dtype=total.dtype)  # (n, V)
        counts = wanted != IGNORED  # (n,)
        places = torch.where(counts, wanted, 0)[:, None]  # (n, 1)
        total -= torch.where(counts, log_shares.gather(1, places)[:, 0], 0).sum()
        if scale is not None:
            ours = (counts * scale).to(total.dtype)[:, None]  # (n, 1)
            block.copy_(log_shares.exp_().mul_(ours).scatter_add_(1, places, -ours))
    return total


def _count(targets: Tensor) -> Tensor:
    return (targets != IGNORED).sum()


class _PiecewiseLoss(torch.autograd.Function):
    """Computes the gradients along with the loss, piece by piece, and hands them out when asked."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, targets: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
        total, count = _zero(dtype, states), _count(targets)
        state_gradients, weight_gradient = [], None
        with torch.autocast(states.device.type, enabled=False):
            narrow = weight.to(dtype)
            for rows in _pieces(states, weight):
                piece = states[rows].to(dtype)  # (n, E)
                logits = piece @ narrow.T  # (n, V)
                total += _into_gradient(logits, targets[rows], 1 / count)
                state_gradients.append((logits @ narrow).to(states.dtype))
                if weight.requires_grad:
                    weight_gradient = _added(weight_gradient, logits.T, piece, weight.dtype)
        ctx.save_for_backward(torch.cat(state_gradients), weight_gradient)
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        states, weight = (None if gradient is None else _scaled(gradient, upstream) for gradient in ctx.saved_tensors)
        return states, None, weight, None


def _added(running: Tensor | None, left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """The product of two matrices, added to what there is, in `dtype`."""
    if running is None:
        return (left @ right).to(dtype)
    return running.addmm_(left, right) if left.dtype == dtype else running.add_(left @ right)


def _scaled(gradient: Tensor, upstream: Tensor) -> Tensor:
    """Times `upstream`; without a pass over the gradient where a processor sees that it is 1."""
    return gradient if upstream.device.type == "cpu" and upstream == 1 else upstream * gradient
