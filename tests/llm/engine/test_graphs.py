"""Recorded passes: once a shape, few of them kept, and none where recording fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count

import pytest
import torch
from torch import Tensor

from app.llm.engine.graphs import MOST_FAILURES, CaptureFailed, CudaCapture, Graphs, Work, uncaptured
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


def test_a_pass_that_cannot_be_recorded_is_run_as_it_is_and_the_others_are_recorded() -> None:
    told: list[str] = []
    recorder = Recorder()

    def odd(work: Work) -> Work:
        if recorder.capture(work) and recorder.last == SHAPES[1]:
            raise RuntimeError("operation not permitted when stream is capturing")
        return work

    graphs = Graphs(recorder.work, device=torch.device("cpu"), capture=odd, most=9, on_failure=told.append)
    for number in (4, 5):
        for shape in SHAPES:
            assert graphs.run(shape, [number]).tolist() == [2 * number]
    assert recorder.shapes == SHAPES
    assert told == ["operation not permitted when stream is capturing"]


def test_where_recording_fails_again_and_again_it_is_not_tried_any_more() -> None:
    told: list[str] = []

    def failing(_: Work) -> Work:
        raise RuntimeError("no")

    graphs = Graphs(Recorder().work, device=torch.device("cpu"), capture=failing, most=9, on_failure=told.append)
    for seen in range(2 * MOST_FAILURES):
        assert graphs.run(Shape(1, 1, 1 << seen), [4]).tolist() == [8]
    assert told == ["no"] * MOST_FAILURES


def test_where_a_recording_gave_other_numbers_no_other_is_used() -> None:
    told: list[str] = []
    recorder = Recorder()

    def wrong(work: Work) -> Work:
        recorder.capture(work)
        if recorder.last == SHAPES[1]:
            raise CaptureFailed("other numbers")
        return lambda: work() + 1

    graphs = Graphs(recorder.work, device=torch.device("cpu"), capture=wrong, most=9, on_failure=told.append)
    assert graphs.run(SHAPES[0], [4]).tolist() == [9]
    for shape in (SHAPES[1], SHAPES[0], SHAPES[2]):
        assert graphs.run(shape, [4]).tolist() == [8]
    assert told == ["other numbers"]


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
            "graph_pool_handle": partial(next, (f"pool {number}" for number in count())),
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
        "record into pool 1, thread_local",
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
    assert cuda.log[-2:] == ["replay on side", "main waits for side"]


def test_what_the_caller_does_after_a_recording_that_failed_comes_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run before the recording has written keys and values, on a stream of its own."""
    cuda = Cuda(monkeypatch, [])
    runs = count()

    def unrecordable() -> Tensor:
        if next(runs):
            raise RuntimeError("operation not permitted when stream is capturing")
        return cuda.work()

    with pytest.raises(RuntimeError, match="not permitted"):
        CudaCapture(torch.device("cuda"))(unrecordable)
    assert cuda.log[-1] == "main waits for side"


def test_graphs_share_a_pool_as_long_as_one_of_them_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = Cuda(monkeypatch, [1.0] * 3)
    capture = CudaCapture(torch.device("cuda"))
    kept = [capture(cuda.work), capture(cuda.work)]
    kept.clear()
    capture(cuda.work)
    pools = [line for line in cuda.log if line.startswith("record")]
    assert pools == [f"record into pool {number}, thread_local" for number in (1, 1, 2)]
