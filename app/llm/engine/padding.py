"""Chunks of many lengths in a few shapes: numbers of texts and lengths rounded up, and what is missing filled in.

Few shapes, because each is recorded once and replayed (`graphs.py`). A chunk's shape hangs on nobody else's, as far as
sums go: chunks of several tokens have passes of their own, and single tokens share passes in which linear layers always
get `ROWS` rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from app.llm.engine.runner import Chunk
from app.llm.errors import ContextOverflow
from app.llm.model.paged_kv import BLOCK_TOKENS
from app.llm.model.paged_transformer import PagedInputs

ROWS = 32
"""Texts in a pass of single tokens, at most, and rows of a linear layer, at least. A GPU needs about as long for one
row: it waits for the weights."""
LEAST_SEEN = 64
"""Tokens of a text, new ones included, that the shortest shape has room for."""
MOST_GATHERED = 65_536
"""Tokens whose keys and values one pass may read, room for missing ones included, unless one text alone has more."""


class Shape(NamedTuple):
    """A pass: `new` tokens of each of `texts` texts of up to `seen` tokens."""

    texts: int
    new: int
    seen: int

    @property
    def numbers(self) -> int:
        """How many numbers say what is in it."""
        return self.texts * (3 * self.new + self.seen // BLOCK_TOKENS)


def passes(chunks: Sequence[Chunk], context: int) -> list[tuple[Shape, list[int]]]:
    """Which chunks, by their numbers, pass together and in which shape.

    Raises:
        ContextOverflow: a text is longer than the context.
    """
    found = []
    for chunk in chunks:
        if (end := chunk.start + len(chunk.ids)) > context:
            raise ContextOverflow(f"{end} tokens are more than the context of {context}")
    for number, chunk in enumerate(chunks):
        if len(chunk.ids) > 1:
            found.append((Shape(1, max(ROWS, _power(len(chunk.ids))), _seen(chunk, context)), [number]))
    single = [number for number, chunk in enumerate(chunks) if len(chunk.ids) == 1]
    single.sort(key=lambda number: chunks[number].start, reverse=True)  # long ones with long ones
    while single:
        seen = _seen(chunks[single[0]], context)
        most = max(1, min(ROWS, MOST_GATHERED // seen))
        most = _power(most + 1) // 2  # a power of two again
        together, single = single[:most], single[most:]
        found.append((Shape(_power(len(together)), 1, seen), together))
    return found


def numbers(shape: Shape, chunks: Sequence[Chunk], *, no_block: int, nowhere: int) -> list[int]:
    """What is in a pass, in one list, which is one copy to the device; `inputs` takes it apart.

    Args:
        no_block, nowhere: `PagedKV`'s, for what is filled in.
    """
    ids, positions, writes, tables = [], [], [], []
    for chunk in chunks:
        count, end = len(chunk.ids), chunk.start + len(chunk.ids)
        blocks = chunk.blocks[: -(-end // BLOCK_TOKENS)]
        missing = shape.new - count
        ids += [*chunk.ids, *[0] * missing]
        positions += [*range(chunk.start, end), *[end - 1] * missing]
        writes += [blocks[at // BLOCK_TOKENS] * BLOCK_TOKENS + at % BLOCK_TOKENS for at in range(chunk.start, end)]
        writes += [nowhere] * missing
        tables += [*blocks, *[no_block] * (shape.seen // BLOCK_TOKENS - len(blocks))]
    missing = shape.texts - len(chunks)
    ids += [0] * (missing * shape.new)
    positions += [0] * (missing * shape.new)  # a text of one token, the token of zeros
    writes += [nowhere] * (missing * shape.new)
    tables += [no_block] * (missing * shape.seen // BLOCK_TOKENS)
    return ids + positions + writes + tables


def inputs(shape: Shape, flat: Tensor) -> PagedInputs:
    """The parts of what `numbers` gave, views of `flat` (N)."""
    new = shape.texts * shape.new
    ids, positions, writes, tables = flat.tensor_split((new, 2 * new, 3 * new))
    return PagedInputs(
        ids=ids.view(shape.texts, shape.new),
        positions=positions.view(shape.texts, shape.new),
        writes=writes,
        tables=tables.view(shape.texts, -1),
    )


def _seen(chunk: Chunk, context: int) -> int:
    most = -(-context // BLOCK_TOKENS) * BLOCK_TOKENS
    return min(max(LEAST_SEEN, _power(chunk.start + len(chunk.ids))), most)


def _power(count: int) -> int:
    """The least power of two that is no less."""
    return 1 << (count - 1).bit_length()
