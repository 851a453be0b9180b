"""Section 4.7: writing text, one token after the other, always the likeliest. Knows no text, only ids."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


@torch.no_grad()
def generate_text_simple(
    model: Callable[[Tensor], Tensor], ids: Tensor, max_new_tokens: int, context_size: int
) -> Tensor:
    """Continue each row of ids (B, T); all (B, T + max_new_tokens) of them.

    The whole text is computed anew for each token; `model/kv_cache.py` is how the service avoids that. Of what is
    longer than `context_size` only the end is read. The model should be in evaluation mode.
    """
    for _ in range(max_new_tokens):
        logits = model(ids[:, -context_size:])[:, -1]  # (B, V): what may follow the last token
        likeliest = logits.softmax(dim=-1).argmax(dim=-1, keepdim=True)  # (B, 1); softmax keeps the order
        ids = torch.cat((ids, likeliest), dim=1)
    return ids
