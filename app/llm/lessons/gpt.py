"""Sections 4.1 and 4.6: the GPT model, first as a frame with nothing in it, then whole.

Weights are torch's own first ones, as in the book; `app.llm.model.transformer` draws them as GPT-2's were.
"""

from __future__ import annotations

from torch import Tensor, nn

from app.llm.config import ModelConfig
from app.llm.lessons.block import TransformerBlock
from app.llm.lessons.causal_attention import causal_mask
from app.llm.lessons.embeddings import InputEmbedding
from app.llm.lessons.layer_norm import LayerNorm

GPT_CONFIG_124M = ModelConfig(
    vocab_size=50257, context_length=1024, emb_dim=768, n_heads=12, n_layers=12, drop_rate=0.1, qkv_bias=False
)


class DummyGPT(nn.Module):
    """The frame alone (section 4.1): embeddings go straight to the head, as its blocks and norm would do nothing."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.emb = InputEmbedding(config.vocab_size, config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of ids (B, T)."""
        logits: Tensor = self.out_head(self.drop_emb(self.emb(ids)))
        return logits


class GPT(nn.Module):
    """Token ids to the logits of the token after each. Of the config it takes the book's seven fields."""

    def __init__(self, config: ModelConfig) -> None:
        """Draw the layers in the book's order: tables, blocks (attention, feed-forward), head."""
        super().__init__()
        self.config = config
        self.emb = InputEmbedding(config.vocab_size, config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.ModuleList(
            TransformerBlock(config.emb_dim, config.n_heads, config.drop_rate, config.qkv_bias)
            for _ in range(config.n_layers)
        )
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, V) of ids (B, T)."""
        x = self.drop_emb(self.emb(ids))  # (B, T, E)
        mask = causal_mask(ids.size(1), ids.device)
        for block in self.trf_blocks:
            x = block(x, mask)
        logits: Tensor = self.out_head(self.final_norm(x))
        return logits
