"""Direct preference optimisation (Rafailov et al. 2023; the book's bonus to chapter 7): the loss and its margins."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from app.llm.train.losses import next_token_loss


@dataclass(frozen=True, slots=True)
class Judged:
    """Log probabilities of the chosen and the rejected answers under one network, (B,) each."""

    chosen: Tensor
    rejected: Tensor


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """A scalar to learn from, and by how much the policy has moved towards each answer, (B,) each, without gradient."""

    loss: Tensor
    chosen_reward: Tensor
    rejected_reward: Tensor

    @property
    def margin(self) -> Tensor:
        """Mean distance of the two rewards: above 0 where the chosen answers gained on the rejected ones."""
        return (self.chosen_reward - self.rejected_reward).mean()


def answer_log_probabilities(hidden: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
    """Mean log probability of each row's targets that count, (B,); a mean, so that long answers weigh no more.

    The arguments are those of `next_token_loss`, and so is what it costs in memory.
    """
    rows = zip(hidden, targets, strict=True)
    losses = [next_token_loss(row[None], ids[None], weight) for row, ids in rows]
    return -torch.stack(losses)


def preference_loss(policy: Judged, reference: Judged, beta: float) -> PreferenceLoss:
    """How surprising the preferences are to the policy, measured against the reference it started as.

    Args:
        reference: of the frozen network, without gradients.
        beta: how dear it is to move away from the reference; usually 0.1 to 0.5.
    """
    ahead = policy.chosen - policy.rejected  # (B,)
    ahead_before = reference.chosen - reference.rejected
    loss = -F.logsigmoid(beta * (ahead - ahead_before)).mean()
    with torch.no_grad():
        return PreferenceLoss(loss, policy.chosen - reference.chosen, policy.rejected - reference.rejected)
