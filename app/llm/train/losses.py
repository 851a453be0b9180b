"""Losses of the recipes. The next-token loss is taken in pieces, so that logits of all tokens never exist at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from app.llm.data.examples import IGNORED

LOGITS_AT_ONCE = 1 << 23
"""Logits held at one time (32 MB of float32): 166 tokens of GPT-2's vocabulary. Whole batches of 2,048 tokens
would take 412 MB three times over. Measured on two cores: never slower, up to a quarter faster for small networks."""


def next_token_loss(
    hidden: Tensor,
    targets: Tensor,
    head: Callable[[Tensor], Tensor],
    head_parameters: Sequence[Tensor],
    vocab_size: int,
) -> Tensor:
    """Mean cross entropy of the targets under `head(hidden)`: that of chapter 5, to rounding.

    Args:
        hidden: states after the final norm, (B, T, E).
        targets: ids, (B, T); `IGNORED` ones do not count.
        head: states to logits, (N, E) to (N, V).
        head_parameters: the tensors that `head` multiplies with; those that need a gradient get one.
        vocab_size: V, which decides how many tokens make a piece.

    Returns:
        A scalar; NaN where no target counts.
    """
    rows = max(1, LOGITS_AT_ONCE // vocab_size)
    states, wanted = hidden.flatten(0, 1), targets.flatten()  # (B * T, E), (B * T,)
    if torch.is_grad_enabled():
        loss: Tensor = _PiecewiseLoss.apply(states, wanted, rows, head, *head_parameters)  # type: ignore[no-untyped-call]
        return loss
    pieces = zip(torch.split(states, rows), torch.split(wanted, rows), strict=True)
    total = sum((_summed_loss(head(piece), ids) for piece, ids in pieces), states.new_zeros(()))
    return total / _count(wanted)


def class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy of class numbers (B,) under logits (B, C): chapter 6's."""
    return F.cross_entropy(logits, labels)


def _summed_loss(logits: Tensor, targets: Tensor) -> Tensor:
    # In float32 at least, whatever the logits are: in bfloat16 a sum over the vocabulary is off by percents.
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(wide, targets, ignore_index=IGNORED, reduction="sum")


def _count(targets: Tensor) -> Tensor:
    return (targets != IGNORED).sum()


class _PiecewiseLoss(torch.autograd.Function):
    """Computes the gradients along with the loss, piece by piece, and hands them out when asked."""

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, targets: Tensor, rows: int, head: Callable[[Tensor], Tensor], *parameters: Tensor
    ) -> Tensor:
        learning = [parameter for parameter in parameters if parameter.requires_grad]
        sums = [torch.zeros_like(parameter) for parameter in learning]
        total, state_gradients = states.new_zeros(()), []
        for piece, wanted in zip(torch.split(states, rows), torch.split(targets, rows), strict=True):
            with torch.enable_grad():
                leaf = piece.detach().requires_grad_()
                loss = _summed_loss(head(leaf), wanted)
                gradient, *addends = torch.autograd.grad(loss, [leaf, *learning])
            total += loss.detach()
            state_gradients.append(gradient)
            for running, addend in zip(sums, addends, strict=True):
                running.add_(addend)
        count = _count(targets)
        ctx.learns = [parameter.requires_grad for parameter in parameters]
        ctx.save_for_backward(torch.cat(state_gradients).div_(count), *(running.div_(count) for running in sums))
        return total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        states, *rest = ctx.saved_tensors
        sums = iter(rest)
        parameters = (upstream * next(sums) if learns else None for learns in ctx.learns)
        return upstream * states, None, None, None, *parameters
