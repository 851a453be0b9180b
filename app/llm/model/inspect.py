"""One forward pass of a `Transformer`, opened: what each part makes of the tokens, for the parts that are asked for.

The pass is the network's own, block by block; only attention weights, which the fast attention never writes down, are
computed again from the same queries and keys. Knows no text and no wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from app.llm.config import ModelConfig, SamplingParams
from app.llm.engine.distribution import distributions
from app.llm.errors import ContextOverflow, TokenIdOutOfRange
from app.llm.model.attention import CausalSelfAttention
from app.llm.model.transformer import Transformer, TransformerBlock

WANTS = (
    "embeddings",  # token and position vectors, and their sum
    "scores",  # q·k / sqrt(D), before the mask
    "masked",  # the scores, -inf where the key comes later than the query
    "attention",  # softmax of the masked scores
    "context",  # attention times the values: what each head reads
    "residual",  # the stream after the embeddings, and after each half of a block
    "norms",  # lengths of its vectors
    "logit_lens",  # the likeliest tokens, if the network ended after a layer
    "loss",  # of each token's successor, and its rank among all
    "logits",  # of all tokens, and log-probabilities of the draw
    "next",  # both for the likeliest tokens alone
)
BYTES_A_NUMBER = 4
BYTES_A_ROW = 64  # of JSON that one named token takes, in the lens and the like
SCORES_AT_ONCE = 1 << 18  # held beside what was asked for, some times over (1 MB); malloc keeps what is much more
LOGITS_AT_ONCE = 1 << 21  # likewise (8 MB); fewer rows would read the head's weights more often than they are worth

_HEAD_PARTS = ("scores", "masked", "attention", "context")
_OUTPUTS = ("loss", "logits", "next")
_INTEGERS = ("logit_lens.ids", "loss.rank", "next.ids")


@dataclass(frozen=True)
class View:
    """What to look at, in the order in which it will be given. Indexes count from 0.

    `tokens` are the positions that look: rows of an attention matrix, whose columns are always all tokens. `top` is how
    many of the likeliest tokens `logit_lens` and `next` name.
    """

    want: frozenset[str]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    tokens: tuple[int, ...]
    top: int
    sampling: SamplingParams

    def judged(self, seen: int) -> tuple[int, ...]:
        """Those of its tokens that have a next one among `seen` tokens, so that a loss can be told."""
        return tuple(position for position in self.tokens if position + 1 < seen)


def shapes(config: ModelConfig, seen: int, view: View) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor that `view` asks for of a pass over `seen` tokens, by `want.part`."""
    layers, heads, rows = len(view.layers), len(view.heads), len(view.tokens)
    top, judged = min(view.top, config.vocab_size), len(view.judged(seen))
    states: dict[str, tuple[int, ...]] = {
        "embedding": (rows,),
        "after_attention": (layers, rows),
        "after_feed_forward": (layers, rows),
    }
    vectors = ("token", "position", "sum") if config.position == "learned" else ("token", "sum")
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "embeddings": dict.fromkeys(vectors, (rows, config.emb_dim)),
        "scores": {"": (layers, heads, rows, seen)},
        "masked": {"": (layers, heads, rows, seen)},
        "attention": {"": (layers, heads, rows, seen)},
        "context": {"": (layers, heads, rows, config.head_dim)},
        "residual": {part: (*shape, config.emb_dim) for part, shape in states.items()},
        "norms": states,
        "logit_lens": {"ids": (layers, rows, top), "logprobs": (layers, rows, top)},
        "loss": {"loss": (judged,), "rank": (judged,)},
        "logits": {"raw": (rows, config.vocab_size), "sampled": (rows, config.vocab_size)},
        "next": dict.fromkeys(("ids", "logits", "logprobs", "sampled_logprobs"), (rows, top)),
    }
    return {
        f"{want}.{part}" if part else want: shape
        for want in WANTS
        if want in view.want
        for part, shape in parts[want].items()
    }


def sizes(config: ModelConfig, seen: int, view: View) -> dict[str, int]:
    """Bytes that each thing wanted takes: of its float32 tensors, or of the rows of named tokens.

    The lens counts the states that it reads, too: they stand for its work, a head of V × E for each.
    """
    found = dict.fromkeys((want for want in WANTS if want in view.want), 0)
    for name, shape in shapes(config, seen, view).items():
        found[name.split(".")[0]] += math.prod(shape) * BYTES_A_NUMBER
    rows, top = len(view.tokens), min(view.top, config.vocab_size)
    states = len(view.layers) * rows
    named = {
        "logit_lens": states * (config.emb_dim * BYTES_A_NUMBER + top * BYTES_A_ROW),
        "loss": len(view.judged(seen)) * BYTES_A_ROW,
        "next": rows * top * BYTES_A_ROW,
    }
    return found | {want: size for want, size in named.items() if want in found}


class OpenedPass:
    """The pass over one text. `tensors` are filled by `steps`, float32 (ids and ranks int32) on the CPU."""

    def __init__(self, network: Transformer, ids: Sequence[int], view: View) -> None:
        """Set the tensors aside; nothing is computed yet.

        Raises:
            ContextOverflow: more ids than the context.
            TokenIdOutOfRange: an id that the network has no vector for.
        """
        config = network.config
        if len(ids) > config.context_length:
            raise ContextOverflow(f"{len(ids)} tokens are more than the context of {config.context_length}")
        for token_id in ids:
            if not 0 <= token_id < config.vocab_size:
                raise TokenIdOutOfRange(token_id, config.vocab_size)
        self._network, self._view, self._seen = network, view, len(ids)
        device = network.token_embedding.weight.device
        self._ids = torch.tensor([list(ids)], device=device)  # (1, S)
        self._rows = torch.tensor(view.tokens, device=device)  # (n,)
        self.tensors = {
            name: torch.empty(shape, dtype=torch.int32 if name in _INTEGERS else torch.float32)
            for name, shape in shapes(config, len(ids), view).items()
        }

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Compute, a layer or a piece of logits at a time, so that others may compute in between."""
        x, angles = self._network.embed(self._ids, past=0)  # (1, S, E)
        self._keep_embeddings(x)
        yield
        view, wants_heads = self._view, not self._view.want.isdisjoint(_HEAD_PARTS)
        blocks = cast(Sequence[TransformerBlock], self._network.blocks)
        for number, block in enumerate(blocks[: self._depth()]):
            place = view.layers.index(number) if number in view.layers else None
            if place is not None and wants_heads:
                self._keep_heads(place, block.attention, block.attention_norm(x), angles)
            x = block.add_attention(x, angles, None)
            if place is not None:
                self._keep_states("after_attention", x, place)
            x = block.add_feed_forward(x)
            if place is not None:
                self._keep_states("after_feed_forward", x, place)
            yield
            if place is not None and "logit_lens" in view.want:
                yield from self._keep_lens(place, x)
        if not view.want.isdisjoint(_OUTPUTS):
            yield from self._keep_outputs(x)

    def _depth(self) -> int:
        """Blocks to go through for what is wanted."""
        config, want = self._network.config, self._view.want
        if not want.isdisjoint(_OUTPUTS):
            return config.n_layers
        return 1 + max(self._view.layers) if want - {"embeddings"} else 0

    def _put(self, name: str, where: tuple[int | slice, ...], value: Tensor) -> None:
        if name in self.tensors:
            self.tensors[name][where] = value.to(self.tensors[name])

    def _keep_embeddings(self, x: Tensor) -> None:
        if "embeddings" in self._view.want:
            self._put("embeddings.token", (), self._network.token_embedding(self._ids[0, self._rows]))
            self._put("embeddings.sum", (), x[0, self._rows])
            if "embeddings.position" in self.tensors:
                self._put("embeddings.position", (), self._network.position_embedding(self._rows))
        self._keep_states("embedding", x)

    def _keep_states(self, part: str, x: Tensor, *place: int) -> None:
        if self._view.want.isdisjoint(("residual", "norms")):
            return
        states = x[0, self._rows].float()  # (n, E)
        self._put(f"residual.{part}", place, states)
        self._put(f"norms.{part}", place, states.norm(dim=-1))

    def _keep_heads(
        self, place: int, attention: CausalSelfAttention, normed: Tensor, angles: tuple[Tensor, Tensor] | None
    ) -> None:
        """Scores, weights and contexts of a layer, some rows at a time."""
        q, k, v = (each[0].float() for each in attention.project(normed, angles))  # (H, S, D), twice (H_kv, S, D)
        heads = torch.tensor(self._view.heads, device=q.device)  # (h,)
        of_keys = heads // (q.size(0) // k.size(0))
        queries, keys, values = q[heads], k[of_keys], v[of_keys]  # (h, S, D)
        positions = torch.arange(self._seen, device=q.device)
        for first, rows in self._pieces(len(heads) * self._seen, SCORES_AT_ONCE):
            scores = queries[:, rows] @ keys.mT / math.sqrt(attention.head_dim)  # (h, r, S)
            masked = scores.masked_fill(positions > rows[:, None], -torch.inf)
            weights = masked.softmax(-1)
            where = (place, slice(None), slice(first, first + len(rows)))
            self._put("scores", where, scores)
            self._put("masked", where, masked)
            self._put("attention", where, weights)
            if "context" in self.tensors:
                self._put("context", where, weights @ values)  # (h, r, D)

    def _keep_lens(self, place: int, x: Tensor) -> Iterator[None]:
        for first, rows in self._pieces(self._network.config.vocab_size, LOGITS_AT_ONCE):
            logprobs = self._logits(x, rows).log_softmax(-1)  # (r, V)
            where = (place, slice(first, first + len(rows)))
            values, ids = logprobs.topk(self.tensors["logit_lens.ids"].size(-1))
            self._put("logit_lens.ids", where, ids)
            self._put("logit_lens.logprobs", where, values)
            yield

    def _keep_outputs(self, x: Tensor) -> Iterator[None]:
        for first, rows in self._pieces(self._network.config.vocab_size, LOGITS_AT_ONCE):
            logits = self._logits(x, rows).cpu()  # (r, V)
            where = (slice(first, first + len(rows)),)
            if "loss" in self._view.want:
                self._keep_loss(first, rows.tolist(), logits)
            self._put("logits.raw", where, logits)
            if not self._view.want.isdisjoint(("logits", "next")):
                sampled = distributions(logits, [self._view.sampling] * len(logits))  # (r, V)
                self._put("logits.sampled", where, sampled)
                self._keep_next(where, logits, sampled)
            yield

    def _keep_loss(self, first: int, rows: list[int], logits: Tensor) -> None:
        done = sum(position + 1 < self._seen for position in self._view.tokens[:first])
        kept = [i for i, position in enumerate(rows) if position + 1 < self._seen]
        targets = self._ids[0].cpu()[[rows[i] + 1 for i in kept]][:, None]  # (j, 1)
        own = logits[kept]  # (j, V)
        of_targets = own.gather(1, targets)  # (j, 1)
        where = (slice(done, done + len(kept)),)
        self._put("loss.loss", where, (own.logsumexp(-1, keepdim=True) - of_targets)[:, 0])
        self._put("loss.rank", where, 1 + (own > of_targets).sum(-1))

    def _keep_next(self, where: tuple[slice], logits: Tensor, sampled: Tensor) -> None:
        if "next" not in self._view.want:
            return
        values, ids = logits.topk(self.tensors["next.ids"].size(-1))  # (r, k)
        self._put("next.ids", where, ids)
        self._put("next.logits", where, values)
        self._put("next.logprobs", where, values - logits.logsumexp(-1, keepdim=True))
        self._put("next.sampled_logprobs", where, sampled.gather(1, ids))

    def _logits(self, x: Tensor, rows: Tensor) -> Tensor:
        """Logits (r, V) of the tokens after `rows`, if the network ended with states x, (1, S, E)."""
        return self._network.head(self._network.final_norm(x[0, rows])).float()

    def _pieces(self, width: int, at_once: int) -> Iterator[tuple[int, Tensor]]:
        """The positions wanted, so few at a time that `width` numbers for each fit; with the place of the first."""
        size = max(1, at_once // width)
        for first in range(0, len(self._rows), size):
            yield first, self._rows[first : first + size]
