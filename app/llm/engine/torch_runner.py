"""The network in plain PyTorch, on any device: where there are no kernels, and as what they must equal.

Each chunk has passes of its own, so that a request's numbers hang on nobody else; texts share no memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.engine.runner import Chunk, Wanted
from app.llm.model.adapter import Adapter, worn
from app.llm.model.kv_cache import KVCache, LayerCache
from app.llm.model.transformer import Transformer


class TorchRunner:
    """A `Runner` for a network in evaluation mode, where and in what precision it lies."""

    block_tokens = 1
    shares_prefixes = False
    has_threads = False

    def __init__(self, network: Transformer, *, kv_cache_tokens: int) -> None:
        self.config: ModelConfig = network.config
        self.weight_bytes = sum(parameter.nbytes for parameter in network.parameters())
        self.block_count = kv_cache_tokens
        self.network = network
        self._worn: WeakKeyDictionary[Adapter, Transformer] = WeakKeyDictionary()  # with the same weights below
        self._store = KVCache(network.config, 1, kv_cache_tokens, like=network.token_embedding.weight)

    @torch.inference_mode()
    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        rows = [self.network.head(self._pass(chunk, self._wearing(chunk.adapter))) for chunk in chunks]
        return torch.cat(rows).float().cpu()  # (R, V)

    def _wearing(self, adapter: Adapter | None) -> Transformer:
        if adapter is None:
            return self.network
        if adapter not in self._worn:
            self._worn[adapter] = worn(self.network, adapter)
        return self._worn[adapter]

    def _pass(self, chunk: Chunk, network: Transformer) -> Tensor:
        """States (R, E) of the tokens whose logits are wanted."""
        device = network.token_embedding.weight.device
        ids = torch.tensor([list(chunk.ids)], device=device)  # (1, T)
        hidden = network.hidden(ids, _Held(self._store, chunk))[0]  # (T, E)
        first = {Wanted.NONE: len(hidden), Wanted.LAST: len(hidden) - 1, Wanted.ALL: 0}[chunk.wanted]
        return hidden[first:]


class _Held(KVCache):
    """The keys and values of one sequence, which lie scattered over a store."""

    def __init__(self, store: KVCache, chunk: Chunk) -> None:
        places = torch.tensor(list(chunk.blocks), device=store.layers[0].device)
        self.max_tokens = len(chunk.blocks)
        self.layers = [_HeldLayer(layer, places, chunk.start) for layer in store.layers]


class _HeldLayer(LayerCache):
    def __init__(self, store: LayerCache, places: Tensor, length: int) -> None:
        super().__init__(*store.stores)
        self._places, self.length = places, length

    def append(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        end = self.length + keys.size(2)
        new, seen = self._places[self.length : end], self._places[:end]
        self._keys[:, :, new], self._values[:, :, new] = keys, values
        self.length = end
        return self._keys[:, :, seen], self._values[:, :, seen]  # (1, H_kv, S, D) each
