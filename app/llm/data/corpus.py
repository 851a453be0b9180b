"""A text as a file of token ids, made in pieces and read through memory mapping: neither needs memory for the whole.

The ids are those of the whole text encoded at once: pieces end where no token of any tokenizer here goes across.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np
import numpy.typing as npt

from app.llm.tokenizer.base import Tokenizer

PIECE_CHARACTERS = 1 << 20
LONGEST_PIECE = 1 << 24


def write_ids(
    text: Path,
    target: Path,
    tokenizer: Tokenizer,
    start: int = 0,
    end: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Encode characters `start` to `end` of a UTF-8 file into `target`, which is whole or not there.

    `check` is called between pieces and may raise to end the work.

    Raises:
        UnknownToken: a word tokenizer without `<|unk|>` met a new word.
        OSError: a file cannot be read or written.
    """
    with text.open(encoding="utf-8", newline="") as source, _whole(target) as sink:
        for _ in _chunks(source, start):
            pass
        for piece in pieces(_chunks(source, None if end is None else end - start)):
            check()
            np.array(tokenizer.encode(piece), dtype=_dtype(tokenizer.vocab_size)).tofile(sink)


def write_texts(
    texts: Iterable[str], target: Path, tokenizer: Tokenizer, end_id: int, check: Callable[[], None] = lambda: None
) -> None:
    """Encode texts one after the other into `target`, each with `end_id` behind it; it is whole or not there.

    `check` is called now and then and may raise to end the work.

    Raises:
        UnknownToken, OSError: as `write_ids`.
    """
    dtype = _dtype(tokenizer.vocab_size)
    unchecked = PIECE_CHARACTERS
    with _whole(target) as sink:
        for text in texts:
            for piece in pieces(text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)):
                unchecked += len(piece)
                if unchecked >= PIECE_CHARACTERS:
                    check()
                    unchecked = 0
                np.array(tokenizer.encode(piece), dtype=dtype).tofile(sink)
            np.array([end_id], dtype=dtype).tofile(sink)


def end_of_text(tokenizer: Tokenizer) -> int | None:
    """The id that stands between texts: `<|endoftext|>`, or else what ends a text otherwise."""
    return tokenizer.special_tokens.get("<|endoftext|>", tokenizer.eos_id)


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


def read_ids(path: Path, vocab_size: int) -> npt.NDArray[Any]:
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
