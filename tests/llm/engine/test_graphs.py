"""Recorded passes: once a shape, few of them kept, and none where recording fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from app.llm.engine.graphs import CaptureFailed, CudaCapture, Graphs, Work, uncaptured
from app.llm.engine.padding import Shape

SHAPES = [Shape(1, 1, 64 << place) for place in range(3)]


class Recorder:
    """Records passes, and which shapes they had."""

    def __init__(self) -> None:
        self.shapes: list[Shape] = []

    def capture(self, work: Work) -> Work:
        work()
        self.shapes.append(self.last)
        return work

    def work(self, shape: Shape, numbers: Tensor) -> Tensor:
        self.last = shape
        return numbers * 2


def some_graphs(recorder: Recorder, most: int = 2) -> Graphs:
    return Graphs(
        recorder.work, device=torch.device("cpu"), capture=recorder.capture, most=most, on_failure=pytest.fail
    )


def test_each_shape_is_recorded_once_and_run_on_the_new_numbers() -> None:
    recorder = Recorder()
    graphs = some_graphs(recorder)
    for number in (3, 4, 5):
        for shape in SHAPES[:2]:
            assert graphs.run(shape, [number, shape.seen]).tolist() == [2 * number, 2 * shape.seen]
    assert recorder.shapes == SHAPES[:2]


def test_the_least_recently_used_makes_room() -> None:
    recorder = Recorder()
    graphs = some_graphs(recorder)
    for place in (0, 1, 0, 2, 0, 1):
        graphs.run(SHAPES[place], [1])
    assert recorder.shapes == [SHAPES[place] for place in (0, 1, 2, 1)]


def test_where_recording_fails_passes_are_run_as_they_are_and_it_is_told_once() -> None:
    told: list[str] = []

    def failing(_: Work) -> Work:
        raise RuntimeError("operation not permitted when stream is capturing")

    recorder = Recorder()
    graphs = Graphs(recorder.work, device=torch.device("cpu"), capture=failing, most=2, on_failure=told.append)
    for shape in SHAPES:
        assert graphs.run(shape, [4]).tolist() == [8]
    assert told == ["operation not permitted when stream is capturing"]


def test_want_of_memory_is_no_failure_to_record() -> None:
    def scarce(_: Work) -> Work:
        raise torch.OutOfMemoryError("CUDA out of memory")

    recorder = Recorder()
    graphs = Graphs(recorder.work, device=torch.device("cpu"), capture=scarce, most=2, on_failure=pytest.fail)
    with pytest.raises(torch.OutOfMemoryError):
        graphs.run(SHAPES[0], [4])


def test_a_pass_that_is_not_recorded_is_itself() -> None:
    def work() -> Tensor:
        return torch.ones(1)

    assert uncaptured(work) is work


class Cuda:
    """CUDA's streams and graphs without a device: a graph puts the next of `replays` where its pass had put numbers."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, replays: list[float]) -> None:
        self.log: list[str] = []
        self.replays, self.current, cuda = replays, "main", self

        class Stream:
            def __init__(self, name: object) -> None:
                self.name = name if name == "main" else "side"

            def wait_stream(self, other: Stream) -> None:
                cuda.log.append(f"{self.name} waits for {other.name}")

        class Graph:
            def replay(self) -> None:
                cuda.log.append(f"replay on {cuda.current}")
                cuda.output.fill_(cuda.replays.pop(0))

        @contextmanager
        def stream(one: Stream) -> Iterator[None]:
            before, cuda.current = cuda.current, one.name
            try:
                yield
            finally:
                cuda.current = before

        @contextmanager
        def graph(_: Graph, *, pool: object, stream: Stream, capture_error_mode: str) -> Iterator[None]:
            cuda.log.append(f"record into {pool}, {capture_error_mode}")
            cuda.current = stream.name  # stays, where recording fails
            yield

        for name, fake in {
            "graph_pool_handle": lambda: "pool",
            "Stream": Stream,
            "CUDAGraph": Graph,
            "device": lambda _: stream(Stream(self.current)),
            "current_stream": lambda: Stream(self.current),
            "stream": stream,
            "graph": graph,
        }.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    def work(self) -> Tensor:
        self.log.append(f"run on {self.current}")
        self.output = torch.ones(2)
        return self.output


def test_a_cuda_graph_is_recorded_after_a_run_beside_and_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, [1.0, 5.0])
    replay = CudaCapture(torch.device("cuda"))(cuda.work)
    assert cuda.log == [
        "side waits for main",
        "run on side",
        "record into pool, thread_local",
        "run on side",
        "replay on side",
        "main waits for side",
    ]
    assert replay().tolist() == [5.0, 5.0]
    assert cuda.log[-1] == "replay on main"


def test_a_cuda_graph_that_gives_other_numbers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, [3.0])
    with pytest.raises(CaptureFailed):
        CudaCapture(torch.device("cuda"))(cuda.work)
    assert cuda.current == "main"
