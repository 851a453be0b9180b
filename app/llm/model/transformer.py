"""One decoder for the GPT-2 and Llama families (chapter 4): embeddings, blocks, final norm, head.

Which parts it is made of stands in its `ModelConfig`; everything else is the same code.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import ModelConfig
from app.llm.errors import ContextOverflow
from app.llm.model.attention import CausalSelfAttention
from app.llm.model.embedding import rotary_angles
from app.llm.model.kv_cache import KVCache, LayerCache
from app.llm.model.layers import make_feed_forward, make_norm

INITIAL_STD = 0.02  # GPT-2's


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each on a normed copy and added back (section 4.5)."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.attention_norm = make_norm(config)
        self.attention = CausalSelfAttention(config)
        self.feed_forward_norm = make_norm(config)
        self.feed_forward = make_feed_forward(config)
        self.dropout = nn.Dropout(config.drop_rate)

    def forward(self, x: Tensor, angles: tuple[Tensor, Tensor] | None, cache: LayerCache | None) -> Tensor:
        return self.add_feed_forward(self.add_attention(x, angles, cache))  # (B, T, E)

    def add_attention(self, x: Tensor, angles: tuple[Tensor, Tensor] | None, cache: LayerCache | None) -> Tensor:
        """The first half: states (B, T, E) with what attention adds to them."""
        mixed: Tensor = x + self.dropout(self.attention(self.attention_norm(x), angles, cache))
        return mixed

    def add_feed_forward(self, x: Tensor) -> Tensor:
        """The second half: states (B, T, E) with what the feed-forward layer adds to them."""
        thought: Tensor = x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        return thought


class Transformer(nn.Module):
    """Token ids to the logits of the next token."""

    def __init__(self, config: ModelConfig) -> None:
        """Make a network with random weights, drawn from torch's global generator as GPT-2's were."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        if config.position == "learned":
            self.position_embedding = nn.Embedding(config.context_length, config.emb_dim)
        self.dropout = nn.Dropout(config.drop_rate)
        self.blocks = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.final_norm = make_norm(config)
        if not config.tied:
            self.output = nn.Linear(config.emb_dim, config.vocab_size, bias=False)
        self.apply(_initialise)

    def forward(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """Logits (B, T, V) of the token after each of `ids` (B, T); with a cache, `ids` are the newest T alone.

        Raises:
            ContextOverflow: more tokens than the context, or than the cache was made for.
        """
        return self.head(self.hidden(ids, cache))

    def hidden(self, ids: Tensor, cache: KVCache | None = None) -> Tensor:
        """States (B, T, E) after the final norm, for callers that need the logits of some positions only."""
        past, new = (cache.length if cache else 0), ids.size(1)
        if past + new > self.config.context_length:
            raise ContextOverflow(f"{past + new} tokens are more than the context of {self.config.context_length}")
        if cache is not None:
            cache.check_room(new)
        x, angles = self.embed(ids, past)  # (B, T, E)
        for number, block in enumerate(self.blocks):
            x = block(x, angles, cache.layers[number] if cache else None)
        normed: Tensor = self.final_norm(x)
        return normed

    def hidden_of(self, vectors: Tensor) -> Tensor:
        """As `hidden`, of tokens' vectors (B, T, E) in place of their ids: for gradients by them."""
        x, angles = self._placed(vectors, past=0)
        for block in self.blocks:
            x = block(x, angles, None)
        normed: Tensor = self.final_norm(x)
        return normed

    def before_last_block(self, ids: Tensor) -> Tensor:
        """States (B, T, E) that enter the last block; they stay the same while it alone is trained."""
        x, angles = self.embed(ids, past=0)  # (B, T, E)
        for block in self.blocks[:-1]:
            x = block(x, angles, None)
        return x

    def from_last_block(self, x: Tensor) -> Tensor:
        """The rest of `hidden`: the last block and the final norm on states (B, T, E) from `before_last_block`."""
        normed: Tensor = self.final_norm(self.blocks[-1](x, self._angles(0, x.size(1), x.device), None))
        return normed

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (…, V) of states (…, E)."""
        weight = self.token_embedding.weight if self.config.tied else self.output.weight
        return F.linear(hidden, weight)

    def new_cache(self, batch_size: int, max_tokens: int) -> KVCache:
        """An empty key–value cache for up to `max_tokens` tokens a row."""
        return KVCache(self.config, batch_size, max_tokens, like=self.token_embedding.weight)

    def parameter_count(self) -> int:
        """Weights, a tied head counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    def embed(self, ids: Tensor, past: int) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """States (B, T, E) that enter the first block, and the rotary angles where positions are not in them."""
        return self._placed(self.token_embedding(ids), past)  # (B, T, E)

    def _placed(self, x: Tensor, past: int) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """As `embed`, of the tokens' vectors (B, T, E)."""
        if self.config.position == "rope":
            return self.dropout(x), self._angles(past, x.size(1), x.device)
        positions = torch.arange(past, past + x.size(1), device=x.device)
        return self.dropout(x + self.position_embedding(positions)), None

    def _angles(self, past: int, new: int, device: torch.device) -> tuple[Tensor, Tensor] | None:
        config = self.config
        if config.position != "rope":
            return None
        return rotary_angles(past, new, config.head_dim, config.rope_base, device)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_STD)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
