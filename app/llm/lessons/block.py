"""Section 4.5: a transformer block. Tokens exchange what they know, then each works on it, both past a shortcut."""

from __future__ import annotations

from torch import Tensor, nn

from app.llm.lessons.feed_forward import FeedForward
from app.llm.lessons.layer_norm import LayerNorm
from app.llm.lessons.multi_head import MultiHeadAttention


class TransformerBlock(nn.Module):
    """Attention and feed-forward, each on a normed copy; the shape stays.

    With a causal mask it is a GPT's block, without one an encoder's.
    """

    def __init__(self, emb_dim: int, num_heads: int, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.att = MultiHeadAttention(emb_dim, emb_dim, num_heads, dropout, qkv_bias)
        self.ff = FeedForward(emb_dim)
        self.norm1 = LayerNorm(emb_dim)
        self.norm2 = LayerNorm(emb_dim)
        self.drop_shortcut = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (B, T, E) to states; `mask` as in `MultiHeadAttention`."""
        x = x + self.drop_shortcut(self.att(self.norm1(x), mask))
        mixed: Tensor = x + self.drop_shortcut(self.ff(self.norm2(x)))
        return mixed
