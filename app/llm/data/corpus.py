"""A text as a file of token ids, made in pieces and read through memory mapping: neither needs memory for the whole.

The ids are those of the whole text encoded at once: pieces end where no token of any tokenizer here goes across.
"""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from app.llm.tokenizer.base import Tokenizer

Ids = npt.NDArray[Any]

PIECE_CHARACTERS = 1 << 20
LONGEST_PIECE = 1 << 24


def write_ids(
    text: Path,
    target: Path,
    tokenizer: Tokenizer,
    start: int = 0,
    end: int | None = None,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[int], None] = lambda _done: None,
) -> None:
    """Encode characters `start` to `end` of a UTF-8 file into `target`, which is whole or not there.

    `check` is called between pieces and may raise to end the work; `tell` gets the characters encoded so far.

    Raises:
        UnknownToken: a word tokenizer without `<|unk|>` met a new word.
        OSError: a file cannot be read or written.
    """
    with text.open(encoding="utf-8", newline="") as source, _whole(target) as sink:
        for _ in _chunks(source, start):
            pass
        done = 0
        chunks = _chunks(source, None if end is None else end - start)
        blocks = ([(piece, False)] for piece in pieces(chunks))
        with closing(_encoded(blocks, tokenizer)) as encoded:
            for block, ids in encoded:
                check()
                ids.tofile(sink)
                done += sum(len(piece) for piece, _ in block)
                tell(done)


def write_texts(
    texts: Iterable[str],
    target: Path,
    tokenizer: Tokenizer,
    end_id: int,
    check: Callable[[], None] = lambda: None,
    tell: Callable[[int], None] = lambda _done: None,
) -> None:
    """Encode texts one after the other into `target`, each with `end_id` behind it; it is whole or not there.

    `check` is called now and then and may raise to end the work; `tell` gets the texts encoded so far.

    Raises:
        UnknownToken, OSError: as `write_ids`.
    """
    done = 0
    with _whole(target) as sink, closing(_encoded(_blocks(texts), tokenizer, end_id)) as encoded:
        for block, ids in encoded:
            check()
            ids.tofile(sink)
            done += sum(is_end for _, is_end in block)
            tell(done)


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """The id that stands between texts: `<|endoftext|>`, or else what ends a text otherwise."""
    return tokenizer.special_tokens.get("<|endoftext|>", tokenizer.eos_id)


Piece = tuple[str, bool]
"""A part of a text, and whether the text ends with it."""


def _blocks(texts: Iterable[str]) -> Iterator[list[Piece]]:
    """The pieces of the texts, so many together that a thread has something to do."""
    block: list[Piece] = []
    held = 0
    for piece in _marked(texts):
        block.append(piece)
        held += len(piece[0]) + 1
        if held >= PIECE_CHARACTERS:
            yield block
            block, held = [], 0
    yield block


def _marked(texts: Iterable[str]) -> Iterator[Piece]:
    for text in texts:
        for piece in pieces(text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)):
            yield piece, False
        yield "", True


def _encoded(
    blocks: Iterable[list[Piece]], tokenizer: Tokenizer, end_id: int | None = None
) -> Generator[tuple[list[Piece], Ids]]:
    """Each block with its ids, in order, encoded by as many threads as there are cores.

    Threads suffice: a byte-pair tokenizer lets the others run while it works. What waits is bounded. Where anything is
    raised, here or by whoever takes the blocks, those under way are ended before.
    """

    def encode(block: list[Piece]) -> Ids:
        parts = (tokenizer.encode(text) if not is_end else [end_id] for text, is_end in block)
        return np.fromiter(chain.from_iterable(parts), dtype=_dtype(tokenizer.vocab_size))

    threads = _cores()
    waiting: deque[tuple[list[Piece], Future[Ids]]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="encode") as pool:
        try:
            for block in blocks:
                waiting.append((block, pool.submit(encode, block)))
                if len(waiting) > threads + 1:
                    first, ids = waiting.popleft()
                    yield first, ids.result()
            while waiting:
                first, ids = waiting.popleft()
                yield first, ids.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _whole(target: Path) -> Generator[BinaryIO]:
    """A file to write into, which takes its place once it is complete and on the disk."""
    aside = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        with aside.open("wb") as sink:
            yield sink
            sink.flush()
            os.fsync(sink.fileno())
        aside.replace(target)
    finally:
        aside.unlink(missing_ok=True)


def read_ids(path: Path, vocab_size: int) -> Ids:
    """The ids of a file that `write_ids` made, read only as far as they are looked at."""
    dtype = _dtype(vocab_size)
    if path.stat().st_size == 0:
        return np.empty(0, dtype=dtype)  # nothing cannot be mapped
    return np.memmap(path, dtype=dtype, mode="r")


def pieces(chunks: Iterator[str]) -> Iterator[str]:
    """The same text in pieces of about a chunk, cut where every split rule begins a new part anyway.

    All of them (the book's and those of byte-pair encodings) begin one between a letter or digit and the white space
    after it, between anything and a space after it, and between a line's end that no white space precedes and a letter
    or digit; a cut elsewhere may lie inside a run of white space, which is split by what follows it. A text without
    such a place for `LONGEST_PIECE` characters is cut all the same, so that memory stays bounded.
    """
    held = ""
    for chunk in chunks:
        searched = max(0, len(held) - 2)  # what was the last character may be one to cut at, now that more is known
        held += chunk
        cut = _last_cut(held, searched) or (len(held) if len(held) >= LONGEST_PIECE else 0)
        if cut:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


def _last_cut(text: str, low: int) -> int:
    """The last place to cut at, from `low` on; 0 without any."""
    at = len(text)
    while (at := max(text.rfind(" ", low, at), text.rfind("\n", low, at))) > 0:
        before = text[at - 1]
        if before.isalnum() or (text[at] == " " and not before.isspace()):
            return at
        if not before.isspace() and text[at] == "\n" and text[at + 1 : at + 2].isalnum():
            return at + 1
    return 0


def _chunks(source: TextIO, characters: int | None) -> Iterator[str]:
    """The next `characters` of the file, or all that is left of it."""
    while characters is None or characters > 0:
        chunk = source.read(PIECE_CHARACTERS if characters is None else min(PIECE_CHARACTERS, characters))
        if not chunk:
            return
        if characters is not None:
            characters -= len(chunk)
        yield chunk


def _dtype(vocab_size: int) -> type[np.unsignedinteger[Any]]:
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32
