"""What the engine asks of whatever runs the network: pieces of several sequences at once, over one key–value memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from torch import Tensor

from app.llm.config import ModelConfig
from app.llm.model.adapter import Adapter
from app.llm.model.transformer import Transformer


class Wanted(Enum):
    """The tokens of a chunk whose logits are wanted."""

    NONE = 0
    LAST = 1
    ALL = 2


@dataclass(frozen=True, slots=True)
class Chunk:
    """New tokens of one sequence.

    `blocks` are the blocks of the key–value memory, in order, that hold the sequence's tokens 0 to
    `start + len(ids) - 1`; keys and values of what comes before `start` are in them already. `adapter`: what stands
    beside the network's layers for this sequence alone.
    """

    ids: Sequence[int]
    start: int
    blocks: Sequence[int]
    wanted: Wanted
    adapter: Adapter | None = None


class Runner(Protocol):
    """A network and its key–value memory: `block_count` blocks of `block_tokens` tokens each.

    `shares_prefixes`: a token's keys and values are the same to the bit in whatever pieces its text was read, so that
    another text with the same beginning may use them.
    `has_threads`: it computes in threads of its own, and leaves PyTorch's alone.
    `network`: the one that it runs, which is to stay as it is; None where it has weights of its own.
    `weight_bytes`: of the machine's memory that its weights take, be they its own or that network's.
    """

    config: ModelConfig
    block_tokens: int
    block_count: int
    shares_prefixes: bool
    has_threads: bool

    @property
    def network(self) -> Transformer | None: ...

    @property
    def weight_bytes(self) -> int: ...

    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        """Read the chunks, of different sequences, and keep their keys and values.

        Returns:
            Logits (R, V), float32 on the CPU; R rows, chunk after chunk: none, the last token's, or all.
        """
        ...
