"""Keys and values of the tokens already seen, so that each new token costs one pass over itself alone."""

from __future__ import annotations

import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.errors import ContextOverflow


class LayerCache:
    """One layer's keys and values, (B, H_kv, S, D) each, grown in place up to `max_tokens`."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        self._keys, self._values = keys, values  # (B, H_kv, max_tokens, D)
        self.length = 0

    @property
    def stores(self) -> tuple[Tensor, Tensor]:
        """Where keys and values lie, (B, H_kv, max_tokens, D) each."""
        return self._keys, self._values

    @property
    def device(self) -> torch.device:
        return self._keys.device

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Add T new tokens; all S = past + T keys and values, (B, H_kv, S, D) each, views of the cache."""
        end = self.length + keys.size(2)
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]


class KVCache:
    """One `LayerCache` a layer. Made by `Transformer.new_cache`."""

    def __init__(self, config: ModelConfig, batch_size: int, max_tokens: int, like: Tensor) -> None:
        shape = (2, batch_size, config.kv_heads, max_tokens, config.head_dim)
        self.max_tokens = max_tokens
        stores = [torch.empty(shape, dtype=like.dtype, device=like.device) for _ in range(config.n_layers)]
        self.layers = [LayerCache(store[0], store[1]) for store in stores]

    @property
    def length(self) -> int:
        """Tokens seen so far."""
        return self.layers[0].length

    def check_room(self, new_tokens: int) -> None:
        """Raises:
        ContextOverflow: the cache was made for fewer tokens.
        """
        if self.length + new_tokens > self.max_tokens:
            raise ContextOverflow(f"{self.length} + {new_tokens} tokens are more than the cache's {self.max_tokens}")
