"""Word2vec's network: two tables of vectors, one for a word in the middle, one for a word beside it."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import Word2VecConfig


class WordVectors(nn.Module):
    """Tells words that stand beside each other from words drawn by chance (Mikolov et al. 2013).

    `token_embedding` is what comes out; `context_embedding` is needed for training alone.
    """

    def __init__(self, config: Word2VecConfig) -> None:
        """Make tables as the first word2vec did: small numbers by chance for the one, zeros for the other."""
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        self.context_embedding = nn.Embedding(config.vocab_size, config.emb_dim)
        nn.init.uniform_(self.token_embedding.weight, -0.5 / config.emb_dim, 0.5 / config.emb_dim)
        nn.init.zeros_(self.context_embedding.weight)

    def loss(self, middle: Tensor, beside: Tensor, by_chance: Tensor) -> Tensor:
        """Mean over P pairs of the loss of one word beside against K words by chance; 0 without a pair.

        Args:
            middle, beside: ids, (P,) each.
            by_chance: ids, (P, K).
        """
        vectors = self.token_embedding(middle)  # (P, E)
        right = (vectors * self.context_embedding(beside)).sum(-1)  # (P,)
        wrong = (vectors[:, None] * self.context_embedding(by_chance)).sum(-1)  # (P, K)
        likelihood = F.logsigmoid(right).sum() + F.logsigmoid(-wrong).sum()
        return -likelihood / max(1, len(middle))

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
