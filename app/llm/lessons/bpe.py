"""Byte-pair encoding from scratch, to read beside chapter 2's bonus on it. Slow; `tokenizer/trained` is for use.

The bonus works on characters: the first 256 code points are the alphabet, further characters of the text join it, and
`Ġ` stands for the space before a word. So its vocabulary of 1,000 holds one merge less than a byte-level one, in which
the space is a byte like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

SPACE = "Ġ"
_WORD = re.compile(r"Ġ?[^\sĠ]+|Ġ+|\s+")


@dataclass(frozen=True)
class Merges:
    """What was learnt: characters and special tokens first, then each merged piece in the order it was learnt."""

    vocabulary: tuple[str, ...]  # by id
    merges: tuple[tuple[str, str], ...]


def train(text: str, vocab_size: int, special_tokens: Sequence[str] = ("<|endoftext|>",)) -> Merges:
    """Merge the most frequent pair of neighbours, again and again, until the vocabulary is full or no pair is left.

    Of equally frequent pairs the one that comes first in the text wins.
    """
    text = text.replace(" ", SPACE)
    alphabet = [chr(code) for code in range(256)]
    alphabet += sorted((set(text) | {SPACE}) - set(alphabet))
    vocabulary = [*alphabet, *special_tokens]
    merges: list[tuple[str, str]] = []
    words = {word: list(word) for word in _WORD.findall(text)}  # in the order of the text
    counts = Counter(_WORD.findall(text))
    while len(vocabulary) < vocab_size:
        pairs: Counter[tuple[str, str]] = Counter()
        for word, pieces in words.items():
            for pair in pairwise(pieces):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = max(pairs, key=lambda pair: pairs[pair])  # the first of the most frequent
        merges.append(best)
        vocabulary.append("".join(best))
        words = {word: _merged(pieces, best) if best[0] in pieces else pieces for word, pieces in words.items()}
    return Merges(tuple(vocabulary), tuple(merges))


def encode(learnt: Merges, text: str) -> list[int]:
    """Ids of `text`: in each word, every merge in the order it was learnt.

    Raises:
        KeyError: a character that is not in the vocabulary.
    """
    ids = {piece: token_id for token_id, piece in enumerate(learnt.vocabulary)}
    encoded: list[int] = []
    for word in _WORD.findall(text.replace(" ", SPACE)):
        pieces = list(word)
        for merge in learnt.merges:
            pieces = _merged(pieces, merge)
        encoded += [ids[piece] for piece in pieces]
    return encoded


def decode(learnt: Merges, ids: Sequence[int]) -> str:
    return "".join(learnt.vocabulary[token_id] for token_id in ids).replace(SPACE, " ")


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces with each occurrence of the pair made one, from left to right."""
    merged: list[str] = []
    at = 0
    while at < len(pieces):
        is_pair = tuple(pieces[at : at + 2]) == pair
        merged.append("".join(pair) if is_pair else pieces[at])
        at += 2 if is_pair else 1
    return merged
