"""Section 3.3: attention without anything to learn. Each token's new vector is a mean of all, by likeness."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Attended:
    """The three steps: scores (T, T), weights (T, T) with rows that sum to 1, context vectors (T, E)."""

    scores: Tensor
    weights: Tensor
    context: Tensor


def attend(inputs: Tensor) -> Attended:
    """Mix token vectors (T, E) by their dot products."""
    scores = inputs @ inputs.T  # (T, T)
    weights = softmax_by_hand(scores)
    return Attended(scores, weights, weights @ inputs)


def softmax_by_hand(scores: Tensor) -> Tensor:
    """Shares of 1 along the last dimension, by the definition; `torch.softmax` also keeps exp from overflowing."""
    raised = scores.exp()
    return raised / raised.sum(dim=-1, keepdim=True)
