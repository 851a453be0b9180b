"""Logits to tokens (chapter 5): penalties, bias, constraint, what `distribution` filters, one seeded draw a request.

All requests of a step at once; what one of them draws hangs on nobody else.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from app.llm.engine.distribution import distributions, take
from app.llm.engine.request import Request, TopToken
from app.llm.errors import LLMError

FEW = 4096
"""Up to so many tokens with a chance are drawn from as torch.multinomial does."""

_UNSOUND = "the network's logits are no distribution: NaN or infinity is among them"


class BadLogits(LLMError):
    """The network gave something that is no distribution."""


class DrawFailed(LLMError):
    """What only this request does to its logits broke."""


@dataclass(frozen=True, slots=True)
class Draw:
    """A token, its log-probability by the model and in what it was drawn from, and the model's likeliest tokens.

    `logits` (V,) are those of the network, where the request asks for them and this is its first token.
    """

    token_id: int
    logprob: float
    sampled_logprob: float
    top: tuple[TopToken, ...]
    logits: Tensor | None = None


class Sampler:
    """What one request's draws remember: its generator, and what it has seen and written, where that counts."""

    def __init__(self, request: Request) -> None:
        params = request.params
        self.params, self._constraint = params, request.constraint
        self.tells_logits = request.logits
        """Of the next draw; true of a request's first alone."""
        self.generator = torch.Generator().manual_seed(params.seed)
        """Of the CPU, so that a seed means the same on every device. Temperature 0 leaves it as it was."""
        self._seen = set(request.prompt_ids) if params.repetition_penalty != 1.0 else None
        self._written: Counter[int] | None = Counter() if params.presence_penalty or params.frequency_penalty else None

    @property
    def adjusts(self) -> bool:
        """Whether it changes logits before the temperature."""
        return bool(self._seen or self._written or self.params.logit_bias or self._constraint is not None)

    def adjusted(self, logits: Tensor) -> Tensor:
        """The logits (V,) with penalties and biases; what must not come is -inf.

        Raises:
            BadLogits: the repetition penalty is so far from 1 that a logit becomes infinite.
        """
        params = self.params
        logits = penalise(logits, self._seen or (), params.repetition_penalty)
        if self._written:
            counts = torch.tensor(list(self._written.values()), dtype=torch.float32)
            taken = params.presence_penalty + params.frequency_penalty * counts
            logits = logits.index_add(0, torch.tensor(list(self._written)), -taken)
        if params.logit_bias:
            ids, biases = zip(*params.logit_bias, strict=True)
            logits = logits.index_add(0, torch.tensor(ids), torch.tensor(biases))
        if self._constraint is not None:
            logits = logits.masked_fill(~self._constraint.allowed(), -torch.inf)
        return logits

    def note(self, token_id: int) -> None:
        """Remember what was drawn."""
        self.tells_logits = False
        if self._seen is not None:
            self._seen.add(token_id)
        if self._written is not None:
            self._written[token_id] += 1
        if self._constraint is not None:
            self._constraint.accept(token_id)


def draw_all(logits: Tensor, samplers: Sequence[Sampler]) -> list[Draw | LLMError]:
    """Each request's next token, or why it has none: its logits are no numbers, or its constraint failed.

    Args:
        logits: of the next tokens, (R, V), on any device; not changed.
        samplers: of each row, all different.
    """
    logits = logits.float().cpu()  # (R, V)
    is_sound = _are_sound(logits)
    if not bool(is_sound.all()):
        logits = logits.masked_fill(~is_sound[:, None], 0.0)
    own = logits.log_softmax(-1)  # (R, V)
    changed, refused = _adjusted(logits, samplers)
    for row in (~is_sound).nonzero()[:, 0].tolist():
        refused[row] = BadLogits(_UNSOUND)
    ids, sampled = _choose(changed, samplers)
    logprobs = own.gather(1, ids[:, None])[:, 0].tolist()
    tops = _tops(own, sampled, ids, samplers)
    draws: list[Draw | LLMError] = []
    for row, token_id in enumerate(ids.tolist()):
        if row in refused:
            draws.append(refused[row])
            continue
        after = 0.0 if row not in sampled else sampled[row][token_id].item()
        told = logits[row].clone() if samplers[row].tells_logits else None  # the rows of all would stay with one's
        try:
            samplers[row].note(token_id)
            draws.append(Draw(token_id, logprobs[row], after, tops[row], told))
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this row's request alone
            draws.append(_of_one_row(error))
    return draws


def check_sound(logits: Tensor) -> None:
    """Pass logits (R, V) that can all be made distributions.

    Raises:
        BadLogits: NaN or infinity is among them.
    """
    if not bool(_are_sound(logits).all()):
        raise BadLogits(_UNSOUND)


def _are_sound(logits: Tensor) -> Tensor:
    """Of which rows of (R, V) a distribution can be made; one NaN or infinity takes the sum with it."""
    return logits.sum(-1, dtype=torch.float32).isfinite()


def _adjusted(logits: Tensor, samplers: Sequence[Sampler]) -> tuple[Tensor, dict[int, LLMError]]:
    """The logits (R, V) as each request changes them; a row whose change fails stays as it is."""
    refused: dict[int, LLMError] = {}
    rows = [row for row, sampler in enumerate(samplers) if sampler.adjusts]
    changed = logits.clone() if rows else logits
    for row in rows:
        try:
            changed[row] = samplers[row].adjusted(logits[row])
        except Exception as error:  # noqa: BLE001 - whatever it is, it ends this row's request alone
            refused[row] = _of_one_row(error)
    return changed, refused


def _of_one_row(error: Exception) -> LLMError:
    return error if isinstance(error, LLMError) else DrawFailed(f"no token could be drawn: {error!r}")


def _choose(changed: Tensor, samplers: Sequence[Sampler]) -> tuple[Tensor, dict[int, Tensor]]:
    """The tokens (R,), and of each row that was drawn, and not just the likeliest, what it was drawn from (V,)."""
    drawn = [row for row, sampler in enumerate(samplers) if sampler.params.temperature > 0]
    if not drawn:
        return changed.argmax(-1), {}
    sampled = distributions(take(changed, drawn), [samplers[row].params for row in drawn])  # (D, V)
    chances, counts = sampled.exp(), (sampled > -torch.inf).sum(-1).tolist()
    picked = [
        _few(chances[place], samplers[row].generator)
        if counts[place] <= FEW
        else _many(chances[place], samplers[row].generator)
        for place, row in enumerate(drawn)
    ]
    ids = torch.tensor(picked) if len(drawn) == len(samplers) else changed.argmax(-1)
    ids[torch.tensor(drawn)] = torch.tensor(picked)
    return ids, dict(zip(drawn, sampled, strict=True))


def _few(chances: Tensor, generator: torch.Generator) -> int:
    """One draw from (V,) as torch.multinomial makes it, a random number for each token that has a chance.

    The book's draws rest on it.
    """
    left = chances.nonzero()[:, 0]
    return int(left[torch.multinomial(chances[left], 1, generator=generator)])


def _many(chances: Tensor, generator: torch.Generator) -> int:
    """One draw from (V,) with one random number, laid along the sum of all chances: ten times cheaper."""
    sums = chances.double().cumsum(0)
    at = torch.rand((), dtype=torch.float64, generator=generator) * sums[-1]
    return min(int(torch.searchsorted(sums, at, right=True)), len(chances) - 1)


def _tops(
    own: Tensor, sampled: dict[int, Tensor], ids: Tensor, samplers: Sequence[Sampler]
) -> dict[int, tuple[TopToken, ...]]:
    """Each row's likeliest tokens by the model's own log-probabilities (R, V), as many as it asks for."""
    tops: dict[int, tuple[TopToken, ...]] = dict.fromkeys(range(len(samplers)), ())
    rows = [row for row, sampler in enumerate(samplers) if sampler.params.top_logprobs]
    if not rows:
        return tops
    most = max(samplers[row].params.top_logprobs for row in rows)
    found = take(own, rows).topk(min(most + 1, own.size(1)))
    for row, values, likeliest in zip(rows, found.values.tolist(), found.indices.tolist(), strict=True):
        logprobs = _likeliest(own[row], dict(zip(likeliest, values, strict=True)), samplers[row].params.top_logprobs)
        if row in sampled:
            after = sampled[row][list(logprobs)].tolist()
        else:
            after = [0.0 if token_id == ids[row] else -math.inf for token_id in logprobs]
        told = zip(logprobs.items(), (each if each > -math.inf else None for each in after), strict=True)
        tops[row] = tuple(TopToken(*each, its) for each, its in told)
    return tops


def _likeliest(own: Tensor, found: dict[int, float], count: int) -> dict[int, float]:
    """The `count` likeliest tokens of (V,), the lower id first among equals.

    Args:
        found: by topk, of one more; the order of equals, and which of them it finds, hangs on how many it looks for.
    """
    values = list(found.values())
    if count < len(values) and values[count - 1] == values[count]:
        ids = (own >= values[count]).nonzero()[:, 0]
        found = dict(zip(ids.tolist(), own[ids].tolist(), strict=True))
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count])


def penalise(logits: Tensor, seen_ids: Iterable[int], penalty: float) -> Tensor:
    """Make tokens already seen less likely: positive logits divided, negative ones multiplied (Keskar et al. 2019).

    Raises:
        BadLogits: the penalty is so far from 1 that a logit becomes infinite.
    """
    if penalty == 1.0:
        return logits
    seen = torch.tensor(sorted(set(seen_ids)), dtype=torch.long)
    values = logits[seen]
    changed = torch.where(values > 0, values / penalty, values * penalty)
    if not changed.sum().isfinite():
        message = f"with repetition_penalty {penalty} the logits are no distribution: NaN or infinity is among them"
        raise BadLogits(message)
    return logits.index_put((seen,), changed)
