"""A network's step in C++: weights packed in one of four formats, key–value memory in blocks, one call a step.

An output is computed in the same order whatever is computed beside it: a request gets the same numbers alone and in any
batch, in every format.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Iterator, Sequence
from ctypes import POINTER, c_int32, c_void_p
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from app.llm.config import Dtype
from app.llm.engine.runner import Chunk, Wanted
from app.llm.errors import LLMError
from app.llm.kernels import build
from app.llm.kernels.adapted import Adapted
from app.llm.kernels.structures import Layer, Matrix, Network, Norm, Step
from app.llm.model.adapter import Adapter
from app.llm.model.embedding import rotary_angles
from app.llm.model.layers import LayerNorm, RMSNorm
from app.llm.model.stored import StoredNetwork
from app.llm.model.transformer import Transformer
from app.llm.progress import Tell, counted, silent

FORMATS: dict[Dtype, int] = {"float32": 0, "bfloat16": 1, "int8": 2, "int4": 3}
BLOCK_TOKENS = 16
HUGE_PAGE_BYTES = 2 * 1024 * 1024
MOST_LAYERS = 512  # phases of a step are counted in a fixed table
LARGEST_SCALE = 65504.0 * 15  # of a block's weights; scales are float16

T = TypeVar("T")


class Threads:
    """The threads that compute a step. One step at a time: who shares them takes turns."""

    def __init__(self, kernels: ctypes.CDLL, count: int) -> None:
        self.kernels, self.count = kernels, count
        self.handle: int = kernels.inkling_threads(count)
        if not self.handle:
            raise MemoryError("no memory for threads")

    def __del__(self) -> None:
        if getattr(self, "handle", None):
            self.kernels.inkling_threads_end(self.handle)


_lock = threading.Lock()
_shared: dict[tuple[Path, int], Threads] = {}


def threads(folder: Path, count: int) -> Threads:
    """This process's threads for `count` at once, made when first asked for.

    Raises:
        NoKernels: as `build.load`.
    """
    with _lock:
        if (folder, count) not in _shared:
            _shared[folder, count] = Threads(_declared(build.load(folder)), count)
        return _shared[folder, count]


class NativeRunner:
    """A `Runner` whose network lies packed in memory of its own; the one it was made from is not kept."""

    block_tokens = BLOCK_TOKENS
    shares_prefixes = True
    has_threads = True
    network = None

    def __init__(
        self,
        network: Transformer | StoredNetwork,
        dtype: Dtype,
        *,
        kv_cache_tokens: int,
        threads: Threads,
        tell: Tell = silent,
    ) -> None:
        """Pack `network`, a stored one part after part.

        Args:
            dtype: of the weights. The embedding, and a head tied to it, stay at 8 bits where the rest has 4.
            kv_cache_tokens: room for keys and values, in tokens, rounded up to whole blocks.
            tell: hears of each layer that is packed.

        Raises:
            LLMError: a weight has no place in the format, or there are more layers than the kernels count.
        """
        config = network.config
        if config.n_layers > MOST_LAYERS:
            raise LLMError(f"the kernels take {MOST_LAYERS} layers, not {config.n_layers}")
        self.config, self.dtype = config, dtype
        self.block_count = -(-kv_cache_tokens // BLOCK_TOKENS)
        self._threads = threads
        self._kept: list[Any] = []  # what the addresses point to
        self._adapted: WeakKeyDictionary[Adapter, Adapted] = WeakKeyDictionary()
        self.weight_bytes = 0
        self._network = self._pack(network, tell)
        self._handle: int = threads.kernels.inkling_runner(ctypes.byref(self._network), threads.handle)
        if not self._handle:
            raise MemoryError("no memory for the runner")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._threads.kernels.inkling_runner_end(self._handle)

    def run(self, chunks: Sequence[Chunk]) -> Tensor:
        ids = np.concatenate([np.asarray(chunk.ids, np.int32) for chunk in chunks])
        positions = np.concatenate(
            [np.arange(each.start, each.start + len(each.ids), dtype=np.int32) for each in chunks]
        )
        counts = [len(chunk.ids) for chunk in chunks]
        blocks = np.concatenate([np.asarray(chunk.blocks, np.int32) for chunk in chunks])
        starts = np.cumsum([0] + [len(chunk.blocks) for chunk in chunks[:-1]])
        tables = np.repeat(starts, counts).astype(np.int32)
        wanted = np.fromiter(_wanted(chunks), np.int32)
        logits = torch.empty(len(wanted), self.config.vocab_size)
        arrays = (array.ctypes.data for array in (ids, positions, tables, blocks, wanted))
        step = Step(len(ids), len(wanted), *arrays, logits.data_ptr())
        adapted = [self._adapted_of(chunk.adapter) for chunk in chunks]
        of_tokens = np.repeat(np.array([each.address if each else 0 for each in adapted], np.uintp), counts)
        if of_tokens.any():
            step.adapters, step.most_rank = of_tokens.ctypes.data, max(each.most_rank for each in adapted if each)
        if self._threads.kernels.inkling_run(self._handle, ctypes.byref(step)):
            raise MemoryError("no memory for a step of the network")
        return logits  # (R, V)

    def _adapted_of(self, adapter: Adapter | None) -> Adapted | None:
        if adapter is None:
            return None
        if adapter not in self._adapted:
            self._adapted[adapter] = Adapted.of(adapter)
        return self._adapted[adapter]

    def _pack(self, network: Transformer | StoredNetwork, tell: Tell) -> Network:
        config = self.config
        table: Dtype = "int8" if self.dtype == "int4" else self.dtype
        # The largest table comes first, while little else is there: it and its packed copy are in memory at once.
        embedding = self._matrix([network.token_embedding.weight], [], table)
        blocks = counted(network.blocks, config.n_layers, "packing layers", tell)
        layers = (Layer * config.n_layers)(*map(self._layer, blocks))
        cosines, sines = self._angles()
        is_half = self.dtype != "float32"
        kv = (
            config.kv_heads
            * config.head_dim
            * config.n_layers
            * self.block_count
            * BLOCK_TOKENS
            * (2 if is_half else 4)
        )
        return Network(
            layer_count=config.n_layers,
            emb_dim=config.emb_dim,
            heads=config.n_heads,
            kv_heads=config.kv_heads,
            head_dim=config.head_dim,
            mlp_dim=config.mlp_dim,
            vocab_size=config.vocab_size,
            is_gated=config.mlp == "swiglu",
            format=FORMATS[self.dtype],
            is_kv_half=is_half,
            norm_eps=config.norm_eps,
            block_count=self.block_count,
            layers=ctypes.cast(self._keep(layers), POINTER(Layer)),
            final_norm=self._norm(network.final_norm),
            embedding=embedding,
            head=embedding if config.tied else self._matrix([network.output.weight], [], table),
            positions=None if config.position == "rope" else self._floats(network.position_embedding.weight),
            cosines=cosines,
            sines=sines,
            keys=self._memory(kv),
            values=self._memory(kv),
        )

    def _layer(self, block: Any) -> Layer:
        attention, feed_forward = block.attention, block.feed_forward
        ups = [feed_forward.gate, feed_forward.up] if self.config.mlp == "swiglu" else [feed_forward.up]
        return Layer(
            attention_norm=self._norm(block.attention_norm),
            qkv=self._linears(attention.query, attention.key, attention.value),
            out=self._linears(attention.out),
            feed_forward_norm=self._norm(block.feed_forward_norm),
            up=self._linears(*ups),
            down=self._linears(feed_forward.down),
        )

    def _linears(self, *linears: torch.nn.Linear) -> Matrix:
        """Several layers that read the same input, as one."""
        biases = [linear.bias for linear in linears if linear.bias is not None]
        return self._matrix([linear.weight for linear in linears], biases, self.dtype)

    def _matrix(self, weights: Sequence[Tensor], biases: Sequence[Tensor], dtype: Dtype) -> Matrix:
        parts = [weight.detach().float() for weight in weights]
        whole = (torch.cat(parts) if len(parts) > 1 else parts[0]).contiguous()  # (rows, columns)
        least, most = whole.aminmax()
        largest = torch.maximum(-least, most)
        if dtype in ("int8", "int4") and not largest <= LARGEST_SCALE:  # NaN neither
            raise LLMError(f"weights as large as {largest:g} have no place in {dtype}")
        matrix = Matrix(FORMATS[dtype], *whole.shape)
        library = self._threads.kernels
        value_bytes = library.inkling_value_bytes(ctypes.byref(matrix))
        scale_bytes = 2 * library.inkling_scale_count(ctypes.byref(matrix))
        matrix.values = self._memory(value_bytes)
        matrix.scales = self._memory(scale_bytes) if scale_bytes else None
        matrix.bias = self._floats(torch.cat(list(biases))) if biases else None
        library.inkling_pack(ctypes.byref(matrix), whole.data_ptr())
        self.weight_bytes += value_bytes + scale_bytes
        return matrix

    def _norm(self, norm: LayerNorm | RMSNorm) -> Norm:
        return Norm(self._floats(norm.scale), self._floats(norm.shift) if isinstance(norm, LayerNorm) else None)

    def _angles(self) -> tuple[int | None, int | None]:
        config = self.config
        if config.position != "rope":
            return None, None
        angles = rotary_angles(0, config.context_length, config.head_dim, config.rope_base, torch.device("cpu"))
        cosines, sines = (table[:, : config.head_dim // 2].contiguous() for table in angles)  # both halves turn alike
        return self._keep(cosines).data_ptr(), self._keep(sines).data_ptr()

    def _floats(self, values: Tensor) -> int:
        """The address of a float32 copy of weights that lives as long as the runner."""
        copy = values.detach().float().clone(memory_format=torch.contiguous_format)
        self.weight_bytes += copy.nbytes
        return self._keep(copy).data_ptr()

    def _memory(self, count: int) -> int:
        """The address of `count` bytes of zeros, in large pages where the system has them; touched when first used."""
        area = mmap.mmap(-1, max(1, count) + HUGE_PAGE_BYTES)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            area.madvise(mmap.MADV_HUGEPAGE)
        self._keep(area)
        start = ctypes.addressof(ctypes.c_char.from_buffer(area))
        return -(-start // HUGE_PAGE_BYTES) * HUGE_PAGE_BYTES

    def _keep(self, owned: T) -> T:
        self._kept.append(owned)
        return owned


def _wanted(chunks: Sequence[Chunk]) -> Iterator[int]:
    """The step's tokens whose logits are wanted."""
    first = 0
    for chunk in chunks:
        end = first + len(chunk.ids)
        if chunk.wanted is not Wanted.NONE:
            yield from range(first if chunk.wanted is Wanted.ALL else end - 1, end)
        first = end


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    """The library with the types of its functions."""
    matrix = POINTER(Matrix)
    for name, result, arguments in (
        ("value_bytes", ctypes.c_size_t, (matrix,)),
        ("scale_count", ctypes.c_size_t, (matrix,)),
        ("pack", None, (matrix, c_void_p)),
        ("row", None, (matrix, c_int32, c_void_p)),
        ("threads", c_void_p, (c_int32,)),
        ("threads_end", None, (c_void_p,)),
        ("runner", c_void_p, (POINTER(Network), c_void_p)),
        ("runner_end", None, (c_void_p,)),
        ("run", c_int32, (c_void_p, POINTER(Step))),
    ):
        function = getattr(library, f"inkling_{name}")
        function.restype, function.argtypes = result, arguments
    return library
