"""States that frozen blocks give a row of ids, taken once: while only the last block learns they stay what they are."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from app.llm.model.transformer import Transformer

REMEMBERED_BYTES = 256 * 1024 * 1024
"""States kept for later epochs: some 100,000 tokens of SmolLM2."""


class FrozenStates:
    """What enters the last block, by row."""

    def __init__(self, model: Transformer) -> None:
        """`model`: without dropout, or in evaluation mode."""
        self._model = model
        self._known: dict[Hashable, Tensor] = {}
        self._bytes = 0

    def of(self, keys: Sequence[Hashable], rows: Iterable[Tensor]) -> Tensor:
        """States (B, T, E) of rows of ids, (T,) at most each, with zeros behind those that are shorter.

        A key always comes with the same ids. They are taken one row at a time: in a batch a row's last bits might
        depend on its neighbours, and a resumed run, which has to take them anew, would meet other neighbours.
        """
        return pad_sequence([self._one(key, row) for key, row in zip(keys, rows, strict=True)], batch_first=True)

    def _one(self, key: Hashable, ids: Tensor) -> Tensor:
        if key in self._known:
            return self._known[key]
        with torch.no_grad():
            states = self._model.before_last_block(ids[None])[0]  # (T, E)
        if self._bytes + states.nbytes <= REMEMBERED_BYTES:
            self._bytes += states.nbytes
            self._known[key] = states
        return states
