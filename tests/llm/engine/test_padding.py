"""Few shapes for chunks of any length, and what is filled in."""

from __future__ import annotations

import pytest
import torch

from app.llm.engine import padding
from app.llm.engine.padding import Shape, inputs, numbers, passes
from app.llm.engine.runner import Chunk, Wanted
from app.llm.errors import ContextOverflow


def a_chunk(count: int, start: int = 0) -> Chunk:
    return Chunk(range(count), start, range(-(-(start + count) // 16)), Wanted.LAST)


@pytest.mark.parametrize(
    ("count", "start", "shape"),
    [
        (2, 0, Shape(1, 32, 64)),
        (33, 0, Shape(1, 64, 64)),
        (64, 0, Shape(1, 64, 64)),
        (5, 60, Shape(1, 32, 128)),
        (256, 256, Shape(1, 256, 512)),
        (100, 900, Shape(1, 128, 1008)),  # the context in whole blocks
        (1, 0, Shape(1, 1, 64)),
        (1, 63, Shape(1, 1, 64)),
        (1, 64, Shape(1, 1, 128)),
    ],
)
def test_a_chunk_of_its_own(count: int, start: int, shape: Shape) -> None:
    assert passes([a_chunk(count, start)], 1000) == [(shape, [0])]


def test_single_tokens_go_together_the_long_ones_first() -> None:
    starts = [10, 500, 20, 100, 30]
    chunks = [a_chunk(3), *(a_chunk(1, start) for start in starts)]
    assert passes(chunks, 1000) == [(Shape(1, 32, 64), [0]), (Shape(8, 1, 512), [2, 4, 5, 3, 1])]


def test_no_pass_has_more_than_32_texts() -> None:
    found = passes([a_chunk(1, start) for start in range(70)], 1000)
    assert [shape for shape, _ in found] == [Shape(32, 1, 128), Shape(32, 1, 64), Shape(8, 1, 64)]
    assert sorted(number for _, members in found for number in members) == list(range(70))


def test_what_a_pass_gathers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "MOST_GATHERED", 1000)
    chunks = [a_chunk(1, start) for start in (3000, 200, 200, 200, 200, 10, 10)]
    assert passes(chunks, 4000) == [
        (Shape(1, 1, 4000), [0]),
        (Shape(2, 1, 256), [1, 2]),
        (Shape(2, 1, 256), [3, 4]),
        (Shape(2, 1, 64), [5, 6]),
    ]


def test_a_text_beyond_the_context_is_refused() -> None:
    with pytest.raises(ContextOverflow, match="101 tokens"):
        passes([a_chunk(1), a_chunk(1, 100)], 100)


def test_single_tokens_filled_up() -> None:
    chunks = [Chunk([7], 17, [3, 5], Wanted.LAST), Chunk([8], 0, [2], Wanted.LAST), Chunk([9], 2, [1], Wanted.LAST)]
    shape = Shape(4, 1, 32)
    flat = numbers(shape, chunks, no_block=9, nowhere=145)
    assert len(flat) == shape.numbers
    given = inputs(shape, torch.tensor(flat))
    assert given.ids.tolist() == [[7], [8], [9], [0]]
    assert given.positions.tolist() == [[17], [0], [2], [0]]
    assert given.writes.tolist() == [81, 32, 18, 145]
    assert given.tables.tolist() == [[3, 5], [2, 9], [1, 9], [9, 9]]


def test_a_piece_of_a_prompt_filled_up() -> None:
    shape = Shape(1, 8, 48)
    flat = numbers(shape, [Chunk([5, 6, 7], 15, [4, 2, 8], Wanted.ALL)], no_block=9, nowhere=145)
    given = inputs(shape, torch.tensor(flat))
    assert given.ids.tolist() == [[5, 6, 7, 0, 0, 0, 0, 0]]
    assert given.positions.tolist() == [[15, 16, 17, 17, 17, 17, 17, 17]]
    assert given.writes.tolist() == [79, 32, 33, 145, 145, 145, 145, 145]
    assert given.tables.tolist() == [[4, 2, 9]]  # a block that the text has not come to is not looked at
