"""Section 4.4: adding a layer's input to its output keeps gradients alive in the first layers of a deep network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from app.llm.lessons.feed_forward import GELU


class DeepNetwork(nn.Module):
    """Linear layers with GELU; with `use_shortcut`, past each one whose input and output are of one size."""

    def __init__(self, layer_sizes: Sequence[int], use_shortcut: bool) -> None:
        super().__init__()
        self.use_shortcut = use_shortcut
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(a, b), GELU()) for a, b in pairwise(layer_sizes))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            out = layer(x)
            x = x + out if self.use_shortcut and x.shape == out.shape else out
        return x
