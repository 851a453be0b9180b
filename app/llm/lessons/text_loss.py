"""Section 5.1: how wrong a model is about a text. Cross entropy in the six steps it is made of.

`train/losses.py` is what the service trains with.
"""

from __future__ import annotations

from torch import Tensor


def target_probabilities(logits: Tensor, targets: Tensor) -> Tensor:
    """The probability (B, T) that logits (B, T, V) give to each target (B, T)."""
    return logits.softmax(dim=-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def cross_entropy_by_hand(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean of minus the logarithm of the targets' probabilities: 0 for a model that is sure and right."""
    return -target_probabilities(logits, targets).log().mean()


def perplexity(loss: Tensor) -> Tensor:
    """Of how many equally likely tokens the model might as well have drawn."""
    return loss.exp()
