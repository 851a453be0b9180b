"""Sections 2.7 and 2.8: a token's vector is a row of a table; so is its place's, and the two are added."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class InputEmbedding(nn.Module):
    """Ids to what a network takes in: what each token is, plus where it stands."""

    def __init__(self, vocab_size: int, context_length: int, output_dim: int) -> None:
        """Draw the table of tokens, then that of positions, from torch's global generator."""
        super().__init__()
        self.tok_emb = nn.Embedding(vocab_size, output_dim)
        self.pos_emb = nn.Embedding(context_length, output_dim)

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (B, T, E) of ids (B, T)."""
        positions = torch.arange(ids.size(1), device=ids.device)
        added: Tensor = self.tok_emb(ids) + self.pos_emb(positions)  # (B, T, E) + (T, E)
        return added


def look_up_by_multiplying(table: Tensor, ids: Tensor) -> Tensor:
    """Rows (T, E) of `table` (V, E): what an embedding finds by index, as the product with one-hot vectors.

    It is why an embedding is a linear layer that skips the multiplications with zero.
    """
    one_hot = F.one_hot(ids, table.size(0)).to(table.dtype)  # (T, V)
    return one_hot @ table
