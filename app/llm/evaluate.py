"""How well a model does: mean loss over batches, and the text it writes. Knows no tokenizer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from app.llm.model.transformer import Transformer


def mean_loss(losses: Iterable[Tensor], check: Callable[[], None]) -> float:
    """Mean of the losses of equally large batches (chapter 5), taken one by one; NaN without any.

    `check` is called after each and may raise to end the work.
    """
    values = []
    for loss in losses:
        values.append(loss.item())
        check()
    return math.fsum(values) / len(values) if values else math.nan


@torch.no_grad()
def write_greedily(
    model: Transformer,
    prompt_ids: Sequence[int],
    max_new_tokens: int,
    *,
    stop_id: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> list[int]:
    """Ids that the model finds likeliest, one after the other (chapter 4); ends at `stop_id` or a full context.

    Of a prompt that leaves no room, only the end is read. The model should be in evaluation mode.
    """
    context = model.config.context_length
    prompt = list(prompt_ids)[-max(1, context - max_new_tokens) :]
    new_tokens = min(max_new_tokens, context - len(prompt))
    device = next(model.parameters()).device
    cache = model.new_cache(1, len(prompt) + new_tokens)
    ids = torch.tensor([prompt], device=device)  # (1, T)
    written: list[int] = []
    while len(written) < new_tokens:
        check()
        logits = model.head(model.hidden(ids, cache)[:, -1])  # (1, V): the last token alone needs logits
        ids = logits.argmax(-1, keepdim=True)  # (1, 1)
        token = int(ids)
        if token == stop_id:
            break
        written.append(token)
    return written
