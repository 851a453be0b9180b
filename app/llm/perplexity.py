"""How well a model foretells a text: what each token costs, in windows (Jelinek et al. 1977). Knows no text."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from app.llm.model.transformer import Transformer

LOGITS_AT_ONCE = 1 << 24
"""Logits of a window are made for so many numbers at a time: a vocabulary is wide."""


class Span(NamedTuple):
    """A window of a text: tokens `begin` to `end` are read, of which those from `first` on are scored."""

    begin: int
    first: int
    end: int


@dataclass(frozen=True)
class Loss:
    """What tokens cost together: nats, of so many tokens, which stand for so many bytes of text."""

    nats: float
    tokens: int
    bytes: int

    @property
    def per_token(self) -> float | None:
        """Nats a token; None without any."""
        return self.nats / self.tokens if self.tokens else None

    @property
    def perplexity(self) -> float | None:
        """e to the nats a token; infinite where no float holds that. None without any token."""
        return None if self.per_token is None else math.exp(self.per_token) if self.per_token < 709 else math.inf

    @property
    def bits_per_byte(self) -> float | None:
        """Comparable among tokenizers, as perplexity is not; None where no byte was scored."""
        return self.nats / math.log(2) / self.bytes if self.bytes else None


def spans(count: int, window: int, stride: int) -> Iterator[Span]:
    """Windows over `count` tokens such that each but the first is scored once, with what stands before it.

    A window reads `window` tokens and foretells the one behind each. The first window scores all of them, a later one
    the `stride` last: those see at least `window - stride` tokens before them. With `stride` equal to `window` nothing
    is read twice, and a window begins without any past.
    """
    first = 1
    while first < count:
        begin = max(0, first - 1 - (window - stride))
        end = min(count, begin + window + 1)
        yield Span(begin, first, end)
        first = end


@torch.no_grad()
def losses(model: Transformer, ids: Sequence[int], span: Span) -> Tensor:
    """Nats of each token that the span scores, (end - first,), float64 on the CPU; a model in evaluation mode."""
    device = next(model.parameters()).device
    read = torch.tensor(list(ids[span.begin : span.end]), dtype=torch.int64, device=device)  # (T + 1,)
    scored = span.end - span.first
    hidden = model.hidden(read[None, :-1])[0, -scored:]  # (scored, E)
    targets = read[-scored:]
    size = max(1, LOGITS_AT_ONCE // model.config.vocab_size)
    found = [
        F.cross_entropy(model.head(part).float(), wanted, reduction="none")
        for part, wanted in zip(torch.split(hidden, size), torch.split(targets, size), strict=True)
    ]
    return torch.cat(found).double().cpu()


def text_loss(
    model: Transformer,
    ids: Sequence[int],
    window: int,
    stride: int,
    bytes_of: Callable[[int], int],
    check: Callable[[], None] = lambda: None,
) -> Loss:
    """The loss of a whole text; `bytes_of` a token, `check` is called before each window and may raise."""
    nats, tokens, size = 0.0, 0, 0
    for span in spans(len(ids), window, stride):
        check()
        nats += float(losses(model, ids, span).sum())
        tokens += span.end - span.first
        size += sum(bytes_of(token) for token in ids[span.first : span.end])
    return Loss(nats, tokens, size)
