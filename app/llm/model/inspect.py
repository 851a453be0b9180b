"""One forward pass of a `Transformer`, opened: what each part makes of the tokens, for the parts that are asked for.

The pass is the network's own, block by block; only attention weights, which the fast attention never writes down, are
computed again from the same queries and keys. Knows no text and no wire.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from app.llm.engine.distribution import distributions
from app.llm.errors import ContextOverflow, TokenIdOutOfRange
from app.llm.model.inspect_view import View, shapes
from app.llm.model.transformer import Transformer, TransformerBlock

SCORES_AT_ONCE = 1 << 18  # held beside what was asked for, some times over (1 MB); malloc keeps what is much more
LOGITS_AT_ONCE = 1 << 21  # likewise (8 MB); fewer rows would read the head's weights more often than they are worth

_VECTORS = ("queries", "keys", "values")
_BY_SCORES = ("products", "scores", "masked", "attention", "maps", "context")
_OUTPUTS = ("loss", "logits", "next")
_INTEGERS = ("logit_lens.ids", "loss.rank", "next.ids")


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
            name: torch.zeros(shape, dtype=torch.int32 if name in _INTEGERS else torch.float32)
            for name, shape in shapes(config, len(ids), view).items()
        }

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Compute, a layer or a piece of logits at a time, so that others may compute in between."""
        x, angles = self._network.embed(self._ids, past=0)  # (1, S, E)
        self._keep_embeddings(x)
        yield
        view = self._view
        blocks = cast(Sequence[TransformerBlock], self._network.blocks)
        for number, block in enumerate(blocks[: self._depth()]):
            place = view.layers.index(number) if number in view.layers else None
            if place is not None:
                self._keep_attention(place, block, x, angles)
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

    def _keep_attention(
        self, place: int, block: TransformerBlock, x: Tensor, angles: tuple[Tensor, Tensor] | None
    ) -> None:
        """What a layer's attention reads, and the vectors of its heads."""
        if self._view.want.isdisjoint(("input", *_VECTORS, *_BY_SCORES)):
            return
        normed = block.attention_norm(x)  # (1, S, E)
        self._put("input.stream", (place,), x[0, self._rows])
        self._put("input.normed", (place,), normed[0, self._rows])
        if self._view.want.isdisjoint((*_VECTORS, *_BY_SCORES)):
            return
        q, k, v = (each[0].float() for each in block.attention.project(normed, angles))  # (H, S, D), twice (H_kv, S, D)
        heads = torch.tensor(self._view.heads, device=q.device)  # (h,)
        of_keys = heads // (q.size(0) // k.size(0))
        queries, keys, values = q[heads][:, self._rows], k[of_keys], v[of_keys]  # (h, n, D), twice (h, S, D)
        for name, vectors in zip(_VECTORS, (queries, keys, values), strict=True):
            self._put(name, (place,), vectors)
        if not self._view.want.isdisjoint(_BY_SCORES):
            self._keep_weights(place, queries, keys, values)

    def _keep_weights(self, place: int, queries: Tensor, keys: Tensor, values: Tensor) -> None:
        """Scores, weights and contexts of a layer's heads, some rows at a time."""
        positions = torch.arange(self._seen, device=keys.device)
        for first, rows in self._pieces(len(keys) * self._seen, SCORES_AT_ONCE):
            piece = slice(first, first + len(rows))
            products = queries[:, piece] @ keys.mT  # (h, r, S)
            scores = products / math.sqrt(keys.size(-1))
            masked = scores.masked_fill(positions > rows[:, None], -torch.inf)
            weights = masked.softmax(-1)
            where = (place, slice(None), piece)
            self._put("products", where, products)
            self._put("scores", where, scores)
            self._put("masked", where, masked)
            self._put("attention", where, weights)
            if "maps" in self._view.want:
                self._add_to_maps(place, first, rows, weights)
            if "context" in self.tensors:
                self._put("context", where, weights @ values)  # (h, r, D)

    def _add_to_maps(self, place: int, first: int, rows: Tensor, weights: Tensor) -> None:
        """Let the weights of some rows, (h, r, S), count in their layer's maps."""
        largest, count = self.tensors["maps.largest"][place], len(self._rows)  # (h, n, m)
        of_columns = torch.arange(self._seen, device=rows.device) * largest.size(2) // self._seen  # block of each token
        of_rows = torch.arange(first, first + len(rows)) * largest.size(1) // count
        by_column = weights.new_zeros(*weights.shape[:2], largest.size(2))  # (h, r, m)
        by_column.scatter_reduce_(-1, of_columns.expand_as(weights), weights, "amax")
        largest.scatter_reduce_(1, of_rows[:, None].expand_as(by_column), by_column.cpu(), "amax")
        later = rows > 0
        have_previous = max(1, sum(position > 0 for position in self._view.tokens))
        for name, total in (
            ("to_first", weights[..., 0].sum(-1) / count),
            ("to_previous", _given(weights[:, later], rows[later] - 1) / have_previous),
            ("to_itself", _given(weights, rows) / count),
        ):
            self.tensors[f"maps.{name}"][place] += total.cpu()

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


def _given(weights: Tensor, places: Tensor) -> Tensor:
    """What the rows of `weights`, (h, r, S), give to the token at each row's own of the `places`, together: (h,)."""
    return weights.gather(-1, places.expand(len(weights), -1)[..., None]).sum((1, 2))
