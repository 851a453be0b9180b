"""The first transformer (Vaswani et al. 2017): an encoder reads one text, a decoder writes another while looking at it.

Three attentions, all the same code: the encoder's without a mask, the decoder's with a causal one, and the one
between them, whose context is what the encoder made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from app.llm.config import ModelConfig
from app.llm.lessons.block import TransformerBlock
from app.llm.lessons.causal_attention import causal_mask
from app.llm.lessons.embeddings import InputEmbedding
from app.llm.lessons.feed_forward import FeedForward
from app.llm.lessons.layer_norm import LayerNorm
from app.llm.lessons.multi_head import MultiHeadAttention


class DecoderBlock(nn.Module):
    """A block with one more step: between attending itself and working, it looks at the source."""

    def __init__(self, emb_dim: int, num_heads: int, dropout: float = 0.0, qkv_bias: bool = False) -> None:
        super().__init__()
        self.att = MultiHeadAttention(emb_dim, emb_dim, num_heads, dropout, qkv_bias)
        self.cross_att = MultiHeadAttention(emb_dim, emb_dim, num_heads, dropout, qkv_bias)
        self.ff = FeedForward(emb_dim)
        self.norm1, self.norm2, self.norm3 = (LayerNorm(emb_dim) for _ in range(3))
        self.drop_shortcut = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor, source: Tensor, source_mask: Tensor | None) -> Tensor:
        """States (B, T, E) to states, looking at the source's (B, S, E)."""
        x = x + self.drop_shortcut(self.att(self.norm1(x), mask))
        x = x + self.drop_shortcut(self.cross_att(self.norm2(x), source_mask, context=source))
        mixed: Tensor = x + self.drop_shortcut(self.ff(self.norm3(x)))
        return mixed


class EncoderDecoder(nn.Module):
    """A source text and what is written so far to the logits of the token after each."""

    def __init__(self, config: ModelConfig) -> None:
        """Make `n_layers` blocks on either side; both read the same table of tokens."""
        super().__init__()
        self.config = config
        shape = (config.emb_dim, config.n_heads, config.drop_rate, config.qkv_bias)
        self.emb = InputEmbedding(config.vocab_size, config.context_length, config.emb_dim)
        self.drop_emb = nn.Dropout(config.drop_rate)
        self.encoder = nn.ModuleList(TransformerBlock(*shape) for _ in range(config.n_layers))
        self.encoder_norm = LayerNorm(config.emb_dim)
        self.decoder = nn.ModuleList(DecoderBlock(*shape) for _ in range(config.n_layers))
        self.final_norm = LayerNorm(config.emb_dim)
        self.out_head = nn.Linear(config.emb_dim, config.vocab_size, bias=False)

    def forward(self, source: Tensor, target: Tensor, padding: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) after each of `target` (B, T), of a source (B, S) that is not read where `padding` is."""
        return self.decode(target, self.encode(source, padding), padding)

    def encode(self, source: Tensor, padding: Tensor | None = None) -> Tensor:
        """States (B, S, E) of the source; every token sees all others."""
        x = self.drop_emb(self.emb(source))  # (B, S, E)
        for block in self.encoder:
            x = block(x, _for_all_queries(padding))
        normed: Tensor = self.encoder_norm(x)
        return normed

    def decode(self, target: Tensor, source: Tensor, padding: Tensor | None = None) -> Tensor:
        """Logits (B, T, V) after each of `target`, given the states of the source."""
        x = self.drop_emb(self.emb(target))  # (B, T, E)
        mask = causal_mask(target.size(1), target.device)
        for block in self.decoder:
            x = block(x, mask, source, _for_all_queries(padding))
        logits: Tensor = self.out_head(self.final_norm(x))
        return logits


@torch.no_grad()
def write_from(model: EncoderDecoder, source: Tensor, start_id: int, new_tokens: int) -> Tensor:
    """The likeliest `new_tokens` ids (B, new_tokens) for each source (B, S), which is read once."""
    states = model.encode(source)
    written = torch.full((source.size(0), 1), start_id, device=source.device)
    for _ in range(new_tokens):
        likeliest = model.decode(written, states)[:, -1].argmax(dim=-1, keepdim=True)  # (B, 1)
        written = torch.cat((written, likeliest), dim=1)
    return written[:, 1:]


def _for_all_queries(padding: Tensor | None) -> Tensor | None:
    return None if padding is None else padding[:, None, None]  # (B, S) to (B, 1, 1, S)
