"""The network over PyTorch's packed operators: a format's memory and speed on a CPU without kernels of our own.

The linear layers' weights are copies; of the network that they were made from, embeddings and norms are used as they
are, and the rest may go. Where the operator keeps rows apart, all chunks of a step pass the linear layers together, and
attention and activations chunk by chunk, so that a request gets the same bits alone and in a batch. Where it does not,
each chunk has a pass of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from app.llm.config import Dtype, ModelConfig
from app.llm.engine.packed_probe import Found
from app.llm.engine.runner import Chunk, Wanted
from app.llm.model.adapter import Adapter, BlockDeltas, Delta, deltas
from app.llm.model.embedding import rotary_angles, rotate
from app.llm.model.packed_linear import PackedLinear, PackedType, pack
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.llm.progress import Tell, counted, silent


class PackedRunner:
    """A `Runner` for a network in evaluation mode on the CPU."""

    block_tokens = 1
    has_threads = False
    shares_prefixes = False  # attention sums in another order when a text is read in other pieces
    network = None

    def __init__(
        self,
        network: Transformer | StoredNetwork,
        layers: Found,
        head: Found,
        *,
        kv_cache_tokens: int,
        tell: Tell = silent,
    ) -> None:
        """Pack copies of the linear layers' weights, of a stored network block after block.

        Args:
            layers: what serves the blocks' linear layers.
            head: what serves the language head, which tells tokens apart and wants more bits.
            kv_cache_tokens: room for keys and values, in tokens; float32.
            tell: hears of each layer that is packed.

        Raises:
            LLMError: a weight has no place in the format.
        """
        config = network.config
        self.config: ModelConfig = config
        self.dtype: Dtype = layers.kind.dtype
        self.block_count = kv_cache_tokens
        self._together = layers.keeps_rows_apart and head.keeps_rows_apart
        self._token_embedding, self._final_norm = network.token_embedding, network.final_norm
        self._position_embedding = None if config.position == "rope" else network.position_embedding
        blocks = counted(network.blocks, config.n_layers, "packing layers", tell)
        self._blocks = [_Block(block, config, layers.kind, kv_cache_tokens) for block in blocks]
        weight = self._token_embedding.weight if config.tied else network.output.weight
        self._head = pack(head.kind, [weight], [None])
        self._deltas: WeakKeyDictionary[Adapter, list[BlockDeltas]] = WeakKeyDictionary()
        self._angles = None
        if config.position == "rope":
            angles = rotary_angles(0, config.context_length, config.head_dim, config.rope_base, weight.device)
            self._angles = angles  # (context, D) each

    @property
    def weight_bytes(self) -> int:
        """Of the packed copies, and of the embeddings and norms."""
        tables = _bytes_of(self._token_embedding, self._position_embedding, self._final_norm)
        return tables + self._head.weight_bytes + sum(block.weight_bytes for block in self._blocks)

    @torch.inference_mode()
    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        passes = [chunks] if self._together else [[chunk] for chunk in chunks]
        return torch.cat([self._pass(each) for each in passes])  # (R, V)

    def _pass(self, chunks: Sequence[Chunk]) -> Tensor:
        pieces = _pieces(chunks)
        ids = torch.tensor([token for chunk in chunks for token in chunk.ids])
        positions = torch.cat([torch.arange(piece.start, piece.start + piece.count) for piece in pieces])
        x = self._token_embedding(ids)  # (T, E)
        angles = None
        if self._position_embedding is not None:
            x = x + self._position_embedding(positions)
        if self._angles is not None:
            angles = (self._angles[0][positions], self._angles[1][positions])  # (T, D) each
        adapted = [(piece.rows, self._deltas_of(chunk.adapter)) for chunk, piece in zip(chunks, pieces, strict=True)]
        for number, block in enumerate(self._blocks):
            x = block(x, angles, pieces, [(rows, its[number]) for rows, its in adapted if its])
        wanted = x[_wanted(chunks)]  # (R, E)
        return self._head(self._final_norm(wanted)) if len(wanted) else x.new_empty(0, self.config.vocab_size)

    def _deltas_of(self, adapter: Adapter | None) -> list[BlockDeltas]:
        """What an adapter adds in each block; nothing of no adapter."""
        if adapter is None:
            return []
        if adapter not in self._deltas:
            self._deltas[adapter] = deltas(adapter)
        return self._deltas[adapter]


Adapted = Sequence[tuple[slice, BlockDeltas]]
"""Rows of a step, and what their adapter adds in a block."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk: `count` tokens from `start` of its text on, which are `rows` of the step's; its places in memory."""

    start: int
    count: int
    rows: slice
    new: Tensor  # (T)
    seen: Tensor  # (S)
    may_see: Tensor | None  # (T, S)


class _Block:
    """One block of the network: its linear layers packed, its norms as they are, its keys and values."""

    def __init__(self, block: Any, config: ModelConfig, kind: PackedType, kv_cache_tokens: int) -> None:
        attention, feed_forward = block.attention, block.feed_forward
        self._config = config
        self._norms = (block.attention_norm, block.feed_forward_norm)
        self._qkv = _packed(kind, attention.query, attention.key, attention.value)
        self._out = _packed(kind, attention.out)
        self._is_gated = config.mlp == "swiglu"
        self._up = _packed(kind, *((feed_forward.gate, feed_forward.up) if self._is_gated else (feed_forward.up,)))
        self._down = _packed(kind, feed_forward.down)
        shape = (kv_cache_tokens, config.kv_heads, config.head_dim)
        self._keys, self._values = torch.empty(shape), torch.empty(shape)
        packed = sum(each.weight_bytes for each in (self._qkv, self._out, self._up, self._down))
        self.weight_bytes = packed + _bytes_of(*self._norms)

    def __call__(
        self, x: Tensor, angles: tuple[Tensor, Tensor] | None, pieces: Sequence[_Piece], adapted: Adapted
    ) -> Tensor:
        normed = self._norms[0](x)
        qkv = _with(self._qkv(normed), normed, [(rows, its.qkv) for rows, its in adapted])
        mixed = self._attend(qkv, angles, pieces)
        x = x + _with(self._out(mixed), mixed, [(rows, its.out) for rows, its in adapted])  # (T, E)
        normed = self._norms[1](x)
        wide = self._activate(_with(self._up(normed), normed, [(rows, its.up) for rows, its in adapted]), pieces)
        return x + _with(self._down(wide), wide, [(rows, its.down) for rows, its in adapted])  # (T, E)

    def _attend(self, qkv: Tensor, angles: tuple[Tensor, Tensor] | None, pieces: Sequence[_Piece]) -> Tensor:
        config = self._config
        heads = qkv.view(len(qkv), -1, config.head_dim).transpose(0, 1)  # (H + 2 H_kv, T, D)
        q, k, v = heads.tensor_split((config.n_heads, config.n_heads + config.kv_heads))
        if angles is not None:
            q, k = rotate(q[None], angles)[0], rotate(k[None], angles)[0]
        new = torch.cat([piece.new for piece in pieces])
        self._keys[new], self._values[new] = k.transpose(0, 1), v.transpose(0, 1)
        mixed = (self._mix(q[:, piece.rows], piece) for piece in pieces)
        return torch.cat(list(mixed))  # (T, E)

    def _mix(self, q: Tensor, piece: _Piece) -> Tensor:
        """What one chunk's queries (H, T, D) make of its text, (T, E)."""
        keys = self._keys[piece.seen].transpose(0, 1)[None]  # (1, H_kv, S, D)
        values = self._values[piece.seen].transpose(0, 1)[None]
        if piece.count == 1:  # heads that share keys are like tokens that see all of them
            grouped = q.reshape(1, self._config.kv_heads, -1, self._config.head_dim)  # (1, H_kv, H / H_kv, D)
            return F.scaled_dot_product_attention(grouped, keys, values).reshape(1, -1)
        mixed = F.scaled_dot_product_attention(
            q[None],
            keys,
            values,
            attn_mask=piece.may_see,
            is_causal=piece.may_see is None,
            enable_gqa=self._config.kv_heads != self._config.n_heads,
        )  # (1, H, T, D)
        return mixed[0].transpose(0, 1).flatten(1)

    def _activate(self, wide: Tensor, pieces: Sequence[_Piece]) -> Tensor:
        """The activation of each chunk by itself: PyTorch computes the last few numbers of an array in another way."""
        if not self._is_gated:
            return torch.cat([F.gelu(wide[piece.rows], approximate="tanh") for piece in pieces])  # (T, M)
        gate, up = wide.chunk(2, dim=-1)  # (T, M) each
        return torch.cat([F.silu(gate[piece.rows].contiguous()) for piece in pieces]).mul_(up)


def _with(out: Tensor, x: Tensor, added: Sequence[tuple[slice, Delta | None]]) -> Tensor:
    """Outputs (T, out) with what adapters add to their rows for inputs x (T, in), each chunk's by itself."""
    for rows, delta in added:
        if delta is not None:
            out[rows] += delta(x[rows])
    return out


def _packed(kind: PackedType, *linears: nn.Linear) -> PackedLinear:
    return pack(kind, [linear.weight for linear in linears], [linear.bias for linear in linears])


def _bytes_of(*modules: nn.Module | None) -> int:
    return sum(weight.nbytes for module in modules if module is not None for weight in module.parameters())


def _pieces(chunks: Sequence[Chunk]) -> list[_Piece]:
    pieces = []
    first = 0
    for chunk in chunks:
        count, end = len(chunk.ids), chunk.start + len(chunk.ids)
        seen = torch.tensor(list(chunk.blocks[:end]))
        may_see = None
        if 1 < count < end:
            may_see = torch.ones(count, end, dtype=torch.bool).tril(chunk.start)
        pieces.append(_Piece(chunk.start, count, slice(first, first + count), seen[chunk.start :], seen, may_see))
        first += count
    return pieces


def _wanted(chunks: Sequence[Chunk]) -> list[int]:
    """The step's tokens whose logits are wanted."""
    rows: list[int] = []
    first = 0
    for chunk in chunks:
        end = first + len(chunk.ids)
        if chunk.wanted is not Wanted.NONE:
            rows += range(first if chunk.wanted is Wanted.ALL else end - 1, end)
        first = end
    return rows
