"""The network over keys and values in blocks: many texts in one pass whose tensors have the same shapes every time.

Made for a GPU: weights are copies there, in its precision, what reads the same input is one linear layer, and nothing
waits for the device or asks what a tensor holds, so that a pass can be recorded as a CUDA graph.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import ModelConfig
from app.llm.model.adapter import BlockDeltas, Delta
from app.llm.model.embedding import rotary_angles
from app.llm.model.paged_kv import PagedKV
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer


@dataclass(frozen=True, slots=True)
class PagedInputs:
    """T new tokens of each of B texts, on the device."""

    ids: Tensor
    """(B, T)."""
    positions: Tensor
    """(B, T); rising within a text, the last one tells how much of it there is."""
    writes: Tensor
    """(B * T): the places of their keys and values."""
    tables: Tensor
    """(B, S / 16): the blocks of all S tokens, new ones included."""


Adapted = Sequence[tuple[Tensor, Sequence[BlockDeltas]]]
"""Which rows (R, 1) an adapter is for, and what it adds in each block."""


class PagedTransformer:
    """A copy of a network in evaluation mode."""

    def __init__(
        self, network: Transformer | StoredNetwork, *, rows: int, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Copy the weights; the network itself stays as it is.

        Args:
            rows: fewest rows that a linear layer gets; missing ones are filled up. Which kernel a matrix product
                takes, and with it the order of its sums, depends on the number of rows.
        """
        config = network.config
        self.config: ModelConfig = config
        self._rows = rows
        self._tokens = network.token_embedding.weight.detach().to(device, dtype)
        self._head = self._tokens if config.tied else network.output.weight.detach().to(device, dtype)
        self._positions: Tensor | None = None
        self._angles: tuple[Tensor, Tensor] | None = None
        if config.position == "learned":
            self._positions = network.position_embedding.weight.detach().to(device, dtype)
        else:
            self._angles = _signed_angles(config, device, dtype)
        self._blocks = [_Block(number, block, config, device, dtype) for number, block in enumerate(network.blocks)]
        self._final_norm = _copied(network.final_norm, device, dtype)

    def hidden(self, inputs: PagedInputs, kv: PagedKV, adapted: Adapted = ()) -> Tensor:
        """Read the new tokens and keep their keys and values.

        Args:
            adapted: what stands beside the layers for some of the texts.

        Returns:
            States after the final norm, (R, E), text after text; R is B * T, or `rows` where that is more.
        """
        positions = inputs.positions.flatten()  # (B * T)
        x = F.embedding(inputs.ids.flatten(), self._tokens)
        if self._positions is not None:
            x = x + F.embedding(positions, self._positions)
        x = filled_up(x, max(self._rows, len(x)))  # (R, E)
        angles = self._angles and (self._angles[0][positions], self._angles[1][positions])  # (B * T, 1, D) each
        view = _view(inputs, kv, self.config.n_heads // self.config.kv_heads, x.dtype)
        for number, block in enumerate(self._blocks):
            x = block(x, angles, view, [(rows, its[number]) for rows, its in adapted])
        normed: Tensor = self._final_norm(x)
        return normed

    def head(self, hidden: Tensor) -> Tensor:
        """Logits (…, V) of states (…, E)."""
        return F.linear(hidden, self._head)


@dataclass(frozen=True, slots=True)
class _View:
    """What all layers of a pass share: where keys and values lie, and who may look at whom."""

    kv: PagedKV
    shape: tuple[int, int]
    """B and T."""
    writes: Tensor  # (B * T)
    reads: Tensor  # (B, S)
    bias: Tensor  # (B, 1, G * T, S), 0 or -inf; G query heads share a key head


def _view(inputs: PagedInputs, kv: PagedKV, group: int, dtype: torch.dtype) -> _View:
    batch, new = inputs.positions.shape
    seen = torch.arange(inputs.tables.size(1) * kv.block_tokens, device=inputs.tables.device)  # (S)
    may_see = seen <= inputs.positions[:, :, None]  # (B, T, S)
    bias = torch.zeros(may_see.shape, dtype=dtype, device=seen.device).masked_fill(~may_see, -torch.inf)
    grouped = bias[:, None].expand(batch, group, new, -1).flatten(1, 2)[:, None]  # for G heads, one after another
    return _View(kv, (batch, new), inputs.writes, kv.places(inputs.tables, may_see[:, -1]), grouped)


class _Block:
    """One block of the network."""

    def __init__(self, number: int, block: Any, config: ModelConfig, device: torch.device, dtype: torch.dtype) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self._number, self._config = number, config
        self._is_gated = config.mlp == "swiglu"
        self._attention_norm = _copied(block.attention_norm, device, dtype)
        self._feed_forward_norm = _copied(block.feed_forward_norm, device, dtype)
        ups = (feed_forward.gate, feed_forward.up) if self._is_gated else (feed_forward.up,)
        self._qkv = _Linear.of((attention.query, attention.key, attention.value), device, dtype)
        self._out = _Linear.of((attention.out,), device, dtype)
        self._up = _Linear.of(ups, device, dtype)
        self._down = _Linear.of((feed_forward.down,), device, dtype)

    def __call__(
        self,
        x: Tensor,
        angles: tuple[Tensor, Tensor] | None,
        view: _View,
        adapted: Sequence[tuple[Tensor, BlockDeltas]] = (),
    ) -> Tensor:
        qkv = self._qkv(self._attention_norm(x), [(rows, its.qkv) for rows, its in adapted])
        mixed = filled_up(self._attend(qkv, angles, view), len(x))  # (R, E)
        x = x + self._out(mixed, [(rows, its.out) for rows, its in adapted])  # (R, E)
        wide = self._up(self._feed_forward_norm(x), [(rows, its.up) for rows, its in adapted])
        downs = [(rows, its.down) for rows, its in adapted]
        if self._is_gated:
            gate, up = wide.chunk(2, dim=-1)  # (R, M) each
            return x + self._down(F.silu(gate) * up, downs)
        return x + self._down(F.gelu(wide, approximate="tanh"), downs)

    def _attend(self, qkv: Tensor, angles: tuple[Tensor, Tensor] | None, view: _View) -> Tensor:
        """What the new tokens make of their texts, (B * T, E)."""
        config, (batch, new) = self._config, view.shape
        heads = qkv[: batch * new].view(batch * new, -1, config.head_dim)  # (B * T, H + 2 H_kv, D)
        if angles is not None:
            _rotate(heads[:, : config.n_heads + config.kv_heads], angles)
        view.kv.write(self._number, view.writes, heads[:, config.n_heads :])
        keys, values = view.kv.read(self._number, view.reads)  # (B, H_kv, S, D) each
        # Heads that share keys are like tokens of one text: so no key is repeated, and every fused kernel takes them.
        q = heads[:, : config.n_heads].view(batch, new, config.kv_heads, -1, config.head_dim)
        q = q.permute(0, 2, 3, 1, 4).flatten(2, 3)  # (B, H_kv, G * T, D)
        mixed = F.scaled_dot_product_attention(q, keys, values, attn_mask=view.bias)
        apart = mixed.view(batch, config.kv_heads, -1, new, config.head_dim)  # (B, H_kv, G, T, D)
        return apart.permute(0, 3, 1, 2, 4).reshape(batch * new, config.emb_dim)


@dataclass(frozen=True, slots=True)
class _Linear:
    """Linear layers of one input, as one: weight (out, in), bias (out)."""

    weight: Tensor
    bias: Tensor | None

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], device: torch.device, dtype: torch.dtype) -> _Linear:
        weights = [layer.weight.detach().to(device, dtype) for layer in layers]
        biases = [layer.bias.detach().to(device, dtype) for layer in layers if layer.bias is not None]
        return cls(torch.cat(weights), torch.cat(biases) if biases else None)

    def __call__(self, x: Tensor, added: Sequence[tuple[Tensor, Delta | None]] = ()) -> Tensor:
        """Outputs (R, out), with what adapters add to rows of theirs. All rows pass each: sums keep their order."""
        out = F.linear(x, self.weight, self.bias)
        for rows, delta in added:
            if delta is not None:
                out = torch.where(rows, out + delta(x), out)
        return out


def _copied(norm: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    return copy.deepcopy(norm).to(device, dtype).requires_grad_(False)


def filled_up(x: Tensor, rows: int) -> Tensor:
    """`x` (R, E) with rows of zeros behind it, so that there are `rows`."""
    return x if len(x) == rows else F.pad(x, (0, 0, 0, rows - len(x)))


def _signed_angles(config: ModelConfig, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Cosines and sines of all positions, (context, 1, D) each; the first half's sines have their sign turned."""
    cos, sin = rotary_angles(0, config.context_length, config.head_dim, config.rope_base, device)
    sin[:, : config.head_dim // 2].neg_()
    return cos[:, None].to(dtype), sin[:, None].to(dtype)


def _rotate(heads: Tensor, angles: tuple[Tensor, Tensor]) -> None:
    """Turn heads (B * T, H, D) in place by angles (B * T, 1, D): `embedding.rotate` in fewer operations."""
    first, second = heads.chunk(2, dim=-1)
    torch.addcmul(heads * angles[0], torch.cat((second, first), dim=-1), angles[1], out=heads)
