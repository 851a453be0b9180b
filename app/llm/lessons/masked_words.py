"""An encoder (Devlin et al. 2018): it sees a whole text, before and after, and says which words were hidden in it.

Beside the GPT of chapter 4 only two things differ: no causal mask, and what is to be predicted.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from app.llm.config import ModelConfig
from app.llm.lessons.block import TransformerBlock
from app.llm.lessons.embeddings import InputEmbedding
from app.llm.lessons.layer_norm import LayerNorm

NOT_HIDDEN = -100
"""The target of a word that is not to be predicted: what `F.cross_entropy` passes over."""


class MaskedWordEncoder(nn.Module):
    """Token ids, some of them hidden, to the logits of what each one is."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.emb = InputEmbedding(config.vocab_size, config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.trf_blocks = nn.ModuleList(
            TransformerBlock(config.emb_dim, config.n_heads, config.drop_rate, config.qkv_bias)
            for _ in range(config.n_layers)
        )
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, ids: Tensor, padding: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) of ids (B, T); nobody looks where `padding` (B, T) is True."""
        x = self.drop_emb(self.emb(ids))  # (B, T, E)
        mask = None if padding is None else padding[:, None, None]  # (B, 1, 1, T): for all heads and queries
        for block in self.trf_blocks:
            x = block(x, mask)
        logits: Tensor = self.out_head(self.final_norm(x))
        return logits


def hide_words(
    ids: Tensor, mask_id: int, vocab_size: int, generator: Generator, share: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Choose words to predict, and hide most of them, as BERT does.

    Of ten that are chosen eight become `mask_id`, one a random other word, one stays: a model that met the mask
    alone would learn nothing about the words it sees later. At least one word a row is chosen.

    Args:
        ids: (B, T).
        vocab_size: random words are drawn from the ids below it.
        generator: draws everything.
        share: of the words, how many are chosen, on average.

    Returns:
        Inputs, and targets that are `NOT_HIDDEN` wherever nothing is to be predicted, (B, T) each.
    """
    draws = torch.rand(ids.shape, generator=generator)
    chosen = (draws < share) | (draws == draws.min(dim=1, keepdim=True).values)
    fate = torch.rand(ids.shape, generator=generator)
    others = torch.randint(0, vocab_size, ids.shape, generator=generator)
    inputs = torch.where(chosen & (fate < 0.8), mask_id, ids)
    inputs = torch.where(chosen & (fate >= 0.9), others, inputs)
    return inputs, torch.where(chosen, ids, NOT_HIDDEN)
