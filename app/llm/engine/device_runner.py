"""All requests of a step on one device, in passes of few shapes: what a GPU is fast at.

Single tokens of up to 32 requests go together; each piece of a prompt has a pass of its own. Linear layers never get
fewer than 32 rows, so that a request's sums have one order whoever is beside it; where a device's attention keeps texts
apart too, its numbers hang on nobody else.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from app.llm.config import Dtype, ModelConfig
from app.llm.engine.graphs import MOST_GRAPHS, Capture, Graphs, uncaptured
from app.llm.engine.padding import ROWS, Shape, inputs, numbers, passes
from app.llm.engine.runner import Chunk, Wanted
from app.llm.model.adapter import Adapter, BlockDeltas, Delta, deltas
from app.llm.model.paged_kv import BLOCK_TOKENS, PagedKV
from app.llm.model.paged_transformer import PagedTransformer
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer

SERVED: dict[Dtype, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""Formats that a device computes in."""


class DeviceRunner:
    """A `Runner` for a copy of a network in evaluation mode, on any device; the network itself stays as it is."""

    block_tokens = BLOCK_TOKENS
    has_threads = False
    network = None
    weight_bytes = 0  # of the machine's memory; the device's is not in its budget
    shares_prefixes = False
    """Matrix products choose the order of their sums by the number of rows: keys of a token that was read with 200
    others differ in their last bits from those of one that was read with 20, or by itself."""

    def __init__(
        self,
        network: Transformer | StoredNetwork,
        dtype: Dtype,
        *,
        device: torch.device,
        kv_cache_tokens: int,
        capture: Capture = uncaptured,
        most_graphs: int = MOST_GRAPHS,
        on_failure: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Copy the weights to the device and take the memory for keys and values.

        Args:
            dtype: one of `SERVED`.
            kv_cache_tokens: room for keys and values, in tokens, rounded up to whole blocks.
            capture: what records a pass; `CudaCapture` on CUDA.
            most_graphs: recorded passes that are kept.
            on_failure: told why, where recording fails; such passes are run one operation after another.
        """
        self.config: ModelConfig = network.config
        self.dtype: Dtype = dtype
        self.block_count = -(-kv_cache_tokens // BLOCK_TOKENS)
        self._device = device
        paged = PagedTransformer(network, rows=ROWS, device=device, dtype=SERVED[dtype])
        kv = PagedKV(network.config, self.block_count, device=device, dtype=SERVED[dtype])
        self._network, self._kv = paged, kv
        self._deltas: WeakKeyDictionary[Adapter, list[BlockDeltas]] = WeakKeyDictionary()
        # Not a method: without a reference back to the runner, its memory is free as soon as it is dropped.
        self._graphs = Graphs(
            lambda shape, flat: paged.hidden(inputs(shape, flat), kv),
            device=device,
            capture=capture,
            most=most_graphs,
            on_failure=on_failure,
        )

    @torch.inference_mode()
    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        try:
            return self._on_host(self._rows(chunks))
        except torch.OutOfMemoryError as error:
            failure = error.with_traceback(None)  # which holds on to what the pass has made so far
        try:
            self._graphs.clear()
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            raise failure
        finally:
            del failure  # or it and this frame would hold on to each other

    def _rows(self, chunks: Sequence[Chunk]) -> list[Tensor]:
        """Wanted logits (_, V) on the device, chunk after chunk."""
        rows: dict[int, Tensor] = {}
        for shape, members in passes(chunks, self.config.context_length):
            together = [chunks[number] for number in members]
            given = numbers(shape, together, no_block=self._kv.no_block, nowhere=self._kv.nowhere)
            if all(chunk.adapter is None for chunk in together):
                hidden = self._graphs.run(shape, given)  # (R, E)
            else:  # which adapters stand beside which rows is another question every time: nothing is recorded
                flat = inputs(shape, torch.tensor(given, device=self._device))
                hidden = self._network.hidden(flat, self._kv, self._adapted(shape, together))
            if all(chunk.wanted is Wanted.NONE for chunk in together):
                continue
            if shape.new == 1:
                logits = self._network.head(hidden)  # (R, V), of all, so that the head too gets as many rows
                rows |= {number: logits[row : row + 1] for row, number in enumerate(members)}
            else:
                count, wanted = len(together[0].ids), together[0].wanted
                rows[members[0]] = self._network.head(hidden[count - 1 if wanted is Wanted.LAST else 0 : count])
        return [rows[number] for number, chunk in enumerate(chunks) if chunk.wanted is not Wanted.NONE]

    def _adapted(self, shape: Shape, chunks: Sequence[Chunk]) -> list[tuple[Tensor, list[BlockDeltas]]]:
        """Each adapter of a pass: the rows (R, 1) that it is for, and what it adds in each block."""
        owners = [chunk.adapter for chunk in chunks for _ in range(shape.new)]
        owners += [None] * (max(ROWS, shape.texts * shape.new) - len(owners))
        return [
            (torch.tensor([[owner is each] for owner in owners], device=self._device), self._deltas_of(each))
            for each in dict.fromkeys(owners)
            if each is not None
        ]

    def _deltas_of(self, adapter: Adapter) -> list[BlockDeltas]:
        if adapter not in self._deltas:
            self._deltas[adapter] = [
                BlockDeltas(*(self._moved(delta) for delta in (block.qkv, block.out, block.up, block.down)))
                for block in deltas(adapter)
            ]
        return self._deltas[adapter]

    def _moved(self, delta: Delta | None) -> Delta | None:
        return delta and delta.to(self._device, SERVED[self.dtype])

    def _on_host(self, rows: Sequence[Tensor]) -> Tensor:
        if not rows:
            return torch.empty(0, self.config.vocab_size)
        logits = torch.cat(list(rows)).float()  # (R, V)
        if self._device.type == "cpu":
            return logits
        host = torch.empty(logits.shape, pin_memory=True)  # the device writes there without a detour
        return host.copy_(logits)
