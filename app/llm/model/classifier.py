"""A network with classes for an output in place of a vocabulary (chapter 6)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from app.llm.model.transformer import Transformer

Learning = Literal["head", "last_block", "all"]


class Classifier(nn.Module):
    """Token ids to the logits of a class, read off one token: in the book the last one, which has seen all others."""

    def __init__(self, body: Transformer, classes: int) -> None:
        """Put a fresh head, drawn from torch's global generator, on `body`, which loses a head of its own."""
        super().__init__()
        if not body.config.tied:
            del body.output
        self.body = body
        self.classes = classes
        weight = body.token_embedding.weight
        self.head = nn.Linear(body.config.emb_dim, classes, device=weight.device, dtype=weight.dtype)

    def forward(self, ids: Tensor, places: Tensor | None = None) -> Tensor:
        """Logits (B, C) of texts of ids (B, T), padded at their ends to one length.

        Args:
            places: of the token that is read, (B,); None: the last place.

        Raises:
            ContextOverflow: more tokens than the network's context.
        """
        return self.classes_of(self.body.hidden(ids), places)

    def classes_of(self, hidden: Tensor, places: Tensor | None = None) -> Tensor:
        """Logits (B, C) of states (B, T, E) after the final norm."""
        read = hidden[:, -1] if places is None else hidden[torch.arange(len(hidden), device=hidden.device), places]
        logits: Tensor = self.head(read)
        return logits

    def let_learn(self, learning: Learning) -> None:
        """Have these weights learn, and no others: the head, with it the last block and final norm, or all."""
        self.requires_grad_(learning == "all")
        parts: list[nn.Module] = [self.head]
        if learning == "last_block":
            parts += [self.body.blocks[-1], self.body.final_norm]
        for part in parts:
            part.requires_grad_(True)

    def parameter_count(self) -> int:
        return sum(parameter.numel() for parameter in self.parameters())
