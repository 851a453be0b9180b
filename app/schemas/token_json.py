"""The JSON of long token lists, written piece by piece: what TokenizeOut and EncodeOut describe, in bounded memory.

Each piece takes a few milliseconds to make, and no call in it keeps other threads out for long.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from app.llm.tokenizer.base import Token

_TOKENS_A_PIECE = 1024
_IDS_A_PIECE = 8192
_NUMBERS = [str(byte) for byte in range(256)]


def tokenized(tokenizer: str, count: int, tokens: Iterable[Token]) -> Iterator[bytes]:
    """A TokenizeOut whose `count` tokens are made while it is written."""
    yield f'{{"tokenizer":{json.dumps(tokenizer)},"count":{count},"tokens":['.encode()
    yield from _joined(map(_token, tokens), _TOKENS_A_PIECE)
    yield b"]}"


def encoded(tokenizer: str, count: int, ids: Iterator[bytes]) -> Iterator[bytes]:
    """An EncodeOut of `count` ids in all, around the JSON of the ids themselves."""
    yield f'{{"tokenizer":{json.dumps(tokenizer)},"count":{count},"ids":'.encode()
    yield from ids
    yield b"}"


def id_list(ids: Sequence[int]) -> Iterator[bytes]:
    yield b"["
    yield from _joined(map(str, ids), _IDS_A_PIECE)
    yield b"]"


def listed(items: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    """A JSON list of what is itself in pieces."""
    separator = b"["
    for item in items:
        yield separator
        yield from item
        separator = b","
    yield b"]" if separator == b"," else b"[]"


def _token(token: Token) -> str:
    numbers = ",".join([_NUMBERS[byte] for byte in token.bytes])
    return (
        f'{{"id":{token.id},"text":{json.dumps(token.text)},"bytes":[{numbers}],'
        f'"start":{token.start},"end":{token.end},"special":{"true" if token.special else "false"}}}'
    )


def _joined(items: Iterator[str], a_piece: int) -> Iterator[bytes]:
    separator = ""
    while piece := list(islice(items, a_piece)):
        yield (separator + ",".join(piece)).encode()
        separator = ","
