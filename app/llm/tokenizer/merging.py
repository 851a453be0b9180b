"""How a byte-pair tokenizer comes from bytes to tokens, merge by merge. For looking, not for speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.llm.tokenizer.bpe import BytePairTokenizer


@dataclass(frozen=True)
class Step:
    """One merge: the pieces `at` and `at + 1` of those before it became one, of this id."""

    at: int
    rank: int
    id: int
    pieces: tuple[bytes, ...]  # after it


@dataclass(frozen=True)
class MergedWord:
    """What the splitting rule took as one word: its bytes one by one, each merge, and the ids at the end.

    `is_whole`: the word stands in the vocabulary and is taken as it is, though no merges lead there.
    """

    start: int  # code points of the text
    end: int
    bytes: bytes
    steps: tuple[Step, ...]
    ids: tuple[int, ...]
    is_whole: bool


def merged_words(tokenizer: BytePairTokenizer, text: str) -> Iterator[MergedWord]:
    """The words of `text` with their merges; the ids of all are those of `encode`."""
    for start, end, word in tokenizer.words(text):
        pieces = [word[at : at + 1] for at in range(len(word))]
        steps = tuple(_steps(tokenizer, pieces))
        whole = tokenizer.id_of(word)
        is_whole = whole is not None and len(pieces) > 1
        ids = (whole,) if whole is not None else tuple(_known(tokenizer, piece) for piece in pieces)
        yield MergedWord(start, end, word, steps, ids, is_whole)


def parts_of(tokenizer: BytePairTokenizer, token_id: int) -> tuple[int, int] | None:
    """The two ids that a token is merged from; None for a byte, a special token, or one that no merge makes."""
    whole = tokenizer.token_bytes(token_id)
    if len(whole) < 2 or tokenizer.id_of(whole) != token_id:
        return None
    pieces = [whole[at : at + 1] for at in range(len(whole))]
    for _ in _steps(tokenizer, pieces, below=token_id):
        pass
    if len(pieces) != 2:
        return None
    return _known(tokenizer, pieces[0]), _known(tokenizer, pieces[1])


def _steps(tokenizer: BytePairTokenizer, pieces: list[bytes], below: int | None = None) -> Iterator[Step]:
    """Merge in place, each time the adjacent pair that was learnt first, the leftmost of equal ones.

    Ids rise as merges were learnt, so that the lowest id is the first.
    """
    while True:
        candidates = [
            (merged, at)
            for at in range(len(pieces) - 1)
            if (merged := tokenizer.id_of(pieces[at] + pieces[at + 1])) is not None
            and (below is None or merged < below)
        ]
        if not candidates:
            return
        merged, at = min(candidates)
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        yield Step(at, tokenizer.merge_rank(merged), merged, tuple(pieces))


def _known(tokenizer: BytePairTokenizer, piece: bytes) -> int:
    token_id = tokenizer.id_of(piece)
    assert token_id is not None, "a piece is a byte or the outcome of a merge"
    return token_id
