"""Whether a run still learns: losses and gradients that are numbers, a validation loss that does not climb away."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from app.llm.errors import TrainingDiverged
from app.llm.train.early_stop import Best

HINT = "; a lower learning rate may help"
_SHOWN = 3  # names of weights in an error


def mean_loss_of(losses: Sequence[Tensor], step: int, batches: Sequence[int]) -> float:
    """The mean of the losses of an update's batches, whose numbers in the run are `batches`.

    Raises:
        TrainingDiverged: one is no number; of step `step`, with its batches.
    """
    values = torch.stack(list(losses)).tolist()  # once for all: a device is waited for each time
    odd = [(number, value) for number, value in zip(batches, values, strict=True) if not math.isfinite(value)]
    if odd:
        raise TrainingDiverged(step, "loss", f"the loss became {odd[0][1]}{HINT}", [number for number, _ in odd])
    return math.fsum(values) / len(values)


def clipped(
    weights: Mapping[str, nn.Parameter],
    limit: float | None,
    step: int,
    batches: Sequence[int],
    norm_of: Callable[[list[Tensor]], Tensor] = nn.utils.get_total_norm,
) -> float:
    """The gradient's norm, by `norm_of` all gradients; the gradient is bounded to `limit` afterwards.

    Raises:
        TrainingDiverged: it is no number, though the loss is one.
    """
    gradients = {name: weight.grad for name, weight in weights.items() if weight.grad is not None}
    total = norm_of(list(gradients.values()))
    norm = total.item()
    if not math.isfinite(norm):
        odd = [name for name, gradient in gradients.items() if not gradient.isfinite().all()]
        where = f", in {len(odd)} of {len(gradients)} tensors ({', '.join(odd[-_SHOWN:])})" if odd else ""
        told = f"the gradient's norm became {norm}{where}, the loss being a number{HINT}"
        raise TrainingDiverged(step, "gradient", told, batches)
    if limit is not None:
        nn.utils.clip_grads_with_norm_(weights.values(), limit, total)
    return norm


def check_validation(value: float, best: Best, max_rise: float | None, step: int) -> None:
    """Pass a validation loss that is a number and lies at most `max_rise` above the best.

    Raises:
        TrainingDiverged: it does not.
    """
    if not math.isfinite(value):
        raise TrainingDiverged(step, "validation_loss", f"the validation loss became {value}{HINT}")
    if max_rise is not None and best.val_loss is not None and value > best.val_loss + max_rise:
        above = f"more than {max_rise:g} above the {best.val_loss:.4f} of step {best.step}"
        raise TrainingDiverged(step, "validation_loss", f"the validation loss is {value:.4f}, {above}{HINT}")
