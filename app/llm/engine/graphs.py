"""Passes recorded once a shape and replayed: one launch in place of a thousand, each of which costs microseconds.

A recorded pass reads its inputs where they were when it was recorded, so each shape has a buffer that is filled before
every replay. Without recording, on a CPU, the same buffers are filled and the pass is simply run.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from weakref import WeakSet

import torch
from torch import Tensor

from app.llm.engine.padding import Shape

MOST_GRAPHS = 64
"""Shapes that are kept: all that a model with a context of 2,048 tokens meets."""
CLOSE = 0.05
"""By how much numbers of about 1, which a norm gives, may differ between a pass and its replay: bfloat16's steps."""
MOST_FAILURES = 3
"""Recordings that may fail before none is tried any more."""

Work = Callable[[], Tensor]
"""A pass over buffers that stay where they are; what it returns is good until the next one."""
Capture = Callable[[Work], Work]
"""Makes of a pass one that does the same faster."""


def uncaptured(work: Work) -> Work:
    """A pass as it is."""
    return work


class CaptureFailed(RuntimeError):
    """A replay gave other numbers than the pass that was recorded."""


class CudaCapture:
    """Records passes as CUDA graphs, which share memory: one of them runs at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graphs: WeakSet[torch.cuda.CUDAGraph] = WeakSet()
        self._pool = torch.cuda.graph_pool_handle()
        # One stream for all: memory of the pool is known by it, and what libraries keep for a stream is kept once.
        self._stream = torch.cuda.Stream(device)

    def __call__(self, work: Work) -> Work:
        """Run `work` once, record it, and compare a replay with the run.

        Raises:
            CaptureFailed: they differ.
            RuntimeError: it does what cannot be recorded.
        """
        if not self._graphs:
            # A pool whose graphs are all gone takes no new one while anybody keeps a tensor that lies there.
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        self._graphs.add(graph)
        with torch.cuda.device(self._device):
            caller = torch.cuda.current_stream()
            self._stream.wait_stream(caller)
            try:
                # `graph` leaves its own stream in place where recording fails; this one gives the caller's back.
                with torch.cuda.stream(self._stream):
                    output = self._recorded(graph, work)
            finally:
                caller.wait_stream(self._stream)  # also where it failed: the pass has written keys and values there

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _recorded(self, graph: torch.cuda.CUDAGraph, work: Work) -> Tensor:
        """Where `graph`, once it is recorded and tried, puts what `work` gives."""
        expected = work()  # libraries start, and choose their kernels, which cannot be recorded
        # Other threads load models meanwhile: only this one's allocations would spoil the recording.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            output = work()
        graph.replay()
        if not torch.allclose(output, expected, atol=CLOSE, rtol=CLOSE, equal_nan=True):
            raise CaptureFailed("a CUDA graph gives other numbers than the pass it was recorded from")
        return output


@dataclass(frozen=True, slots=True)
class _Recorded:
    numbers: Tensor
    replay: Work


class Graphs:
    """The passes of all shapes, the least recently used of which make room."""

    def __init__(
        self,
        work: Callable[[Shape, Tensor], Tensor],
        *,
        device: torch.device,
        capture: Capture,
        most: int,
        on_failure: Callable[[str], None],
    ) -> None:
        """Record nothing yet.

        Args:
            work: a pass of a shape over its numbers (N).
            on_failure: told why, where recording fails. A pass that cannot be recorded is run as it is, and all are
                where `MOST_FAILURES` could not, or where a recording gave other numbers.
        """
        self._work, self._device, self._capture, self._most = work, device, capture, most
        self._on_failure, self._failures = on_failure, 0
        self._recorded: OrderedDict[Shape, _Recorded] = OrderedDict()

    def run(self, shape: Shape, numbers: list[int]) -> Tensor:
        """What the pass of `shape` gives, good until the next run; it is recorded when it is first asked for."""
        is_cuda = self._device.type == "cuda"
        given = torch.tensor(numbers, pin_memory=is_cuda)  # int64
        known = self._recorded.get(shape)
        if known is not None:
            known.numbers.copy_(given, non_blocking=True)
            self._recorded.move_to_end(shape)
            return known.replay()
        while len(self._recorded) >= self._most:
            self._recorded.popitem(last=False)
        buffer = given.to(self._device, copy=True)
        recorded = _Recorded(buffer, self._record(partial(self._work, shape, buffer)))
        self._recorded[shape] = recorded
        return recorded.replay()

    def clear(self) -> None:
        """Forget all of them, and what they hold."""
        self._recorded.clear()

    def _record(self, work: Work) -> Work:
        try:
            return self._capture(work)
        except torch.OutOfMemoryError:
            raise
        except CaptureFailed as error:
            self.clear()  # nor is there reason to trust the others
            self._capture = uncaptured
            self._on_failure(str(error))
        except RuntimeError as error:
            self._failures += 1
            if self._failures == MOST_FAILURES:
                self._capture = uncaptured
            self._on_failure(str(error))
        return work
