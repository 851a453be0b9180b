"""The states of one text, a block and some of its tokens at a time, so that others may compute in between."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from app.llm.errors import ContextOverflow
from app.llm.model.kv_cache import LayerCache
from app.llm.model.transformer import Transformer

PIECE = 256
"""Tokens that a block reads in one step: 8,192 at once would take it a third of a second."""


class PiecewisePass:
    """The pass over one text. Keys and values are kept of one block at a time."""

    def __init__(self, network: Transformer, ids: Sequence[int]) -> None:
        """Note what is to be read; nothing is computed yet.

        Raises:
            ContextOverflow: more ids than the context.
        """
        if len(ids) > network.config.context_length:
            raise ContextOverflow(f"{len(ids)} tokens are more than the context of {network.config.context_length}")
        self._network = network
        self._ids = torch.tensor([list(ids)], device=network.token_embedding.weight.device)  # (1, T)
        self.states = torch.empty(0)
        """After the final norm, (1, T, E); there once `steps` has ended."""

    @torch.inference_mode()
    def steps(self) -> Iterator[None]:
        """Compute; between two steps nothing is."""
        x, angles = self._network.embed(self._ids, past=0)  # (1, T, E)
        yield
        config, seen = self._network.config, x.size(1)
        for block in self._network.blocks:
            cache = LayerCache(*x.new_empty(2, 1, config.kv_heads, seen, config.head_dim))
            pieces: list[Tensor] = []
            for first in range(0, seen, PIECE):
                part = slice(first, first + PIECE)
                turned = None if angles is None else (angles[0][part], angles[1][part])
                pieces.append(block(x[:, part], turned, cache))
                yield
            x = torch.cat(pieces, 1)
        self.states = self._network.final_norm(x)
