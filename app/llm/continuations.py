"""How likely a model finds continuations of a text, as multiple choice asks. Knows no text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.data.examples import pad
from app.llm.errors import ContextOverflow
from app.llm.model.transformer import Transformer
from app.llm.perplexity import LOGITS_AT_ONCE


class Pair(NamedTuple):
    """Ids of what is read and of what may follow, one at least of each."""

    context: Sequence[int]
    continuation: Sequence[int]


class Likelihood(NamedTuple):
    """Of a continuation after its context.

    Attributes:
        log_probability: nats, of all its tokens together; no number where the model's logits are none.
        is_greedy: whether each token is the likeliest one where it stands.
        cut: tokens at the beginning of the context that did not fit and were not read.
    """

    log_probability: float
    is_greedy: bool
    cut: int


@torch.no_grad()
def likelihoods(model: Transformer, pairs: Sequence[Pair]) -> list[Likelihood]:
    """Of each continuation, in one pass over all of them; a model in evaluation mode.

    Of a context that does not fit, its end is read.

    Raises:
        ContextOverflow: a continuation alone is longer than what the model reads.
    """
    device, most = next(model.parameters()).device, model.config.context_length
    if (count := max(len(pair.continuation) for pair in pairs)) > most:
        raise ContextOverflow(f"a continuation of {count} tokens is longer than the context of {most}")
    read = [[*pair.context, *pair.continuation][-(most + 1) :] for pair in pairs]
    longest = max(map(len, read)) - 1
    # What fills a row up stands behind all that is scored, where causal attention does not see it.
    hidden = model.hidden(pad([ids[:-1] for ids in read], longest, 0).to(device))  # (B, T, E)
    found = []
    for pair, ids, states in zip(pairs, read, hidden, strict=True):
        scored = states[len(ids) - 1 - len(pair.continuation) : len(ids) - 1]  # (C, E)
        log_probability, is_greedy = _scored(model, scored, torch.tensor(list(pair.continuation), device=device))
        found.append(Likelihood(log_probability, is_greedy, len(pair.context) + len(pair.continuation) - len(ids)))
    return found


def _scored(model: Transformer, states: Tensor, targets: Tensor) -> tuple[float, bool]:
    """The log probability of `targets` (C,), told by `states` (C, E), and whether each is the likeliest one."""
    log_probability, is_greedy = 0.0, True
    size = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    for part, wanted in zip(torch.split(states, size), torch.split(targets, size), strict=True):
        logits = model.head(part).float()  # (at most size, V)
        log_probability -= float(F.cross_entropy(logits, wanted, reduction="none").double().sum())
        is_greedy = is_greedy and bool((logits.argmax(-1) == wanted).all())
    return log_probability, is_greedy
