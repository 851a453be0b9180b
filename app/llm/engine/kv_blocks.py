"""Who holds which block of the key–value memory, and which blocks still know the beginning of a text.

A full block is known by its tokens and by what came before it, exactly, not by a hash: another prompt that begins with
the same tokens shares it (the idea is vLLM's; Kwon et al. 2023). A block that nobody holds keeps its content until the
memory is needed, the least recently used first. Knows numbers alone: neither tensors nor requests.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence

ROOT = 0
"""The node of a text that has not begun; where it is read in another way, by an adapter, another one below 0."""


class KVBlocks:
    """`count` blocks of `block_tokens` tokens each."""

    def __init__(self, count: int, block_tokens: int) -> None:
        self.count, self.block_tokens = count, block_tokens
        self._empty = list(range(count - 1, -1, -1))  # the last freed is the first taken: little memory is touched
        self._kept: OrderedDict[int, None] = OrderedDict()  # held by nobody, content known; least recently used first
        self._holders: Counter[int] = Counter()
        self._nodes: dict[tuple[int, tuple[int, ...]], int] = {}  # (node before, ids) to node
        self._block_of: dict[int, int] = {}  # node to block
        self._key_of: dict[int, tuple[int, tuple[int, ...]]] = {}  # block to its entry in `_nodes`
        self._next_node = ROOT + 1

    @property
    def held(self) -> int:
        """Blocks that somebody holds."""
        return len(self._holders)

    def room(self, tokens: int) -> int:
        """Blocks that so many tokens need."""
        return -(-tokens // self.block_tokens)

    def take(self) -> int:
        """A block for one holder. There is one, as long as holders together stay within `count`."""
        if self._empty:
            block = self._empty.pop()
        else:
            block, _ = self._kept.popitem(last=False)
            self._forget(block)
        self._holders[block] = 1
        return block

    def share(self, ids: Sequence[int], root: int = ROOT) -> tuple[list[int], int]:
        """The known blocks that `ids` begin with behind `root`, now held once more, and the node that they end at."""
        blocks: list[int] = []
        node = root
        for start in range(0, len(ids) - self.block_tokens + 1, self.block_tokens):
            found = self._nodes.get((node, tuple(ids[start : start + self.block_tokens])))
            if found is None:
                break
            node = found
            blocks.append(self._block_of[node])
        for block in blocks:
            self._kept.pop(block, None)
            self._holders[block] += 1
        return blocks, node

    def know(self, block: int, node: int, ids: tuple[int, ...]) -> int:
        """The node of full `block`, which holds `ids` behind `node`; another block may be known for it already."""
        key = (node, ids)
        if key not in self._nodes:
            self._nodes[key] = self._next_node
            self._block_of[self._next_node] = block
            self._key_of[block] = key
            self._next_node += 1
        return self._nodes[key]

    def release(self, blocks: Iterable[int], *, is_sound: bool = True) -> None:
        """Give blocks back; what is not sound is known no more."""
        for block in reversed(list(blocks)):  # ends of texts are forgotten before their beginnings
            if not is_sound:
                self._forget(block)
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            del self._holders[block]
            if block in self._key_of:
                self._kept[block] = None
            else:
                self._empty.append(block)

    def check_integrity(self, holders: Iterable[Sequence[int]]) -> None:
        """Assert that each block is in one place, and held by those who say so."""
        assert Counter(block for blocks in holders for block in blocks) == self._holders
        places = [*self._empty, *self._kept, *self._holders]
        assert sorted(places) == list(range(self.count))
        assert self._kept.keys() <= self._key_of.keys()
        assert {self._nodes[key] for key in self._key_of.values()} == self._block_of.keys()

    def _forget(self, block: int) -> None:
        key = self._key_of.pop(block, None)
        if key is not None:
            del self._block_of[self._nodes.pop(key)]
