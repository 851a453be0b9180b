"""Keys and values of many texts in blocks of one memory, found through tables that are tensors themselves.

Nothing here depends on how long a text is: what is behind its end is read from a token of zeros and written to one that
nobody reads. So whatever an earlier text left in a block, not even NaN reaches another one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from app.llm.config import ModelConfig

BLOCK_TOKENS = 16


class PagedKV:
    """`block_count` blocks of 16 tokens in every layer, and one block behind them for what is no token."""

    block_tokens = BLOCK_TOKENS

    def __init__(self, config: ModelConfig, block_count: int, *, device: torch.device, dtype: torch.dtype) -> None:
        shape = ((block_count + 1) * BLOCK_TOKENS, 2 * config.kv_heads, config.head_dim)
        self._layers = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self._within = torch.arange(BLOCK_TOKENS, device=device)
        self.no_block = block_count
        """Stands in tables where there is no block; its first token stays zeros."""
        self.nowhere = block_count * BLOCK_TOKENS + 1
        """Where keys and values are written that nobody will read."""

    def places(self, tables: Tensor, is_seen: Tensor) -> Tensor:
        """Where tokens lie.

        Args:
            tables: the blocks of each text, (B, S / 16).
            is_seen: which of its tokens are there, (B, S).

        Returns:
            (B, S), for `read`.
        """
        places = (tables[:, :, None] * BLOCK_TOKENS + self._within).flatten(1)
        return places.masked_fill(~is_seen, self.no_block * BLOCK_TOKENS)

    def write(self, layer: int, places: Tensor, kv: Tensor) -> None:
        """Put keys and values (T, 2 H_kv, D), keys first, at `places` (T)."""
        self._layers[layer].index_copy_(0, places, kv)

    def read(self, layer: int, places: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values at `places` (B, S), (B, H_kv, S, D) each."""
        kept = self._layers[layer][places]  # (B, S, 2 H_kv, D)
        keys, values = kept.transpose(1, 2).chunk(2, dim=1)
        return keys, values
