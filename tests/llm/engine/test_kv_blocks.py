"""Blocks: shared by beginnings, kept while there is room, in one place each."""

from __future__ import annotations

import random

from app.llm.engine.kv_blocks import ROOT, KVBlocks


def read(blocks: KVBlocks, ids: tuple[int, ...]) -> list[int]:
    """Hold what `ids` need: what is known of them, and new blocks, whose content becomes known."""
    held, node = blocks.share(ids)
    while len(held) < blocks.room(len(ids)):
        held.append(blocks.take())
        at = (len(held) - 1) * blocks.block_tokens
        if at + blocks.block_tokens <= len(ids):
            node = blocks.know(held[-1], node, ids[at : at + blocks.block_tokens])
    return held


def test_the_same_beginning_is_held_once() -> None:
    blocks = KVBlocks(8, 2)
    first, second = read(blocks, (1, 2, 3, 4, 5)), read(blocks, (1, 2, 3, 4, 6))
    assert first[:2] == second[:2]
    assert first[2] != second[2]
    assert blocks.held == 4
    blocks.check_integrity([first, second])
    blocks.release(first)
    blocks.check_integrity([second])
    blocks.release(second)
    assert blocks.held == 0
    assert blocks.share((1, 2, 9, 9))[0] == first[:1]  # still known


def test_the_same_tokens_behind_others_are_something_else() -> None:
    blocks = KVBlocks(8, 2)
    held = read(blocks, (1, 2, 3, 4))
    assert blocks.share((3, 4)) == ([], ROOT)
    blocks.check_integrity([held])


def test_memory_that_is_needed_takes_what_was_used_least_recently() -> None:
    blocks = KVBlocks(4, 1)
    for ids in ((1,), (2,), (3,)):
        blocks.release(read(blocks, ids))
    blocks.release(read(blocks, (1,)))
    taken = [blocks.take(), blocks.take()]
    blocks.check_integrity([taken])
    known = {ids: blocks.share(ids)[0] for ids in ((1,), (2,), (3,))}
    assert [bool(found) for found in known.values()] == [True, False, True]


def test_what_is_not_sound_is_known_no_more() -> None:
    blocks = KVBlocks(4, 1)
    blocks.release(read(blocks, (1, 2)), is_sound=False)
    assert blocks.share((1, 2)) == ([], ROOT)
    blocks.check_integrity([])


def test_the_books_balance_whatever_happens() -> None:
    chance = random.Random(0)
    blocks = KVBlocks(20, 2)
    held: list[list[int]] = []
    for _ in range(2000):
        if held and (chance.random() < 0.5 or blocks.held > 14):
            blocks.release(held.pop(chance.randrange(len(held))), is_sound=chance.random() < 0.8)
        else:
            held.append(read(blocks, tuple(chance.randrange(2) for _ in range(chance.randint(1, 9)))))
        blocks.check_integrity(held)
