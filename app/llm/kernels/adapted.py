"""An adapter as the kernels read it: addresses of its matrices, block by block. The fields are those of network.h."""

from __future__ import annotations

import ctypes
from ctypes import Structure, c_int32, c_void_p
from dataclasses import dataclass

from app.llm.model.adapter import Adapter, BlockDeltas, Delta, deltas


class _Delta(Structure):
    _fields_ = [
        *((name, c_int32) for name in ("rank", "inputs", "outputs", "reserved")),
        *((name, c_void_p) for name in ("a", "b")),
    ]


class _BlockDeltas(Structure):
    _fields_ = [(name, _Delta) for name in ("qkv", "out", "up", "down")]


@dataclass(frozen=True)
class Adapted:
    """One adapter, to be kept as long as a step that names its address."""

    blocks: ctypes.Array[_BlockDeltas]
    most_rank: int
    kept: list[BlockDeltas]
    """What the addresses point to."""

    @property
    def address(self) -> int:
        return ctypes.addressof(self.blocks)

    @classmethod
    def of(cls, adapter: Adapter) -> Adapted:
        kept = deltas(adapter)
        parts = [(block.qkv, block.out, block.up, block.down) for block in kept]
        blocks = (_BlockDeltas * len(kept))(*(_BlockDeltas(*map(_delta, block)) for block in parts))
        return cls(blocks, max(len(delta.a) for block in parts for delta in block if delta is not None), kept)


def _delta(delta: Delta | None) -> _Delta:
    if delta is None:
        return _Delta()
    return _Delta(len(delta.a), delta.a.size(1), delta.b.size(1), 0, delta.a.data_ptr(), delta.b.data_ptr())
