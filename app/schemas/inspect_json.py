"""The JSON of an opened pass, written piece by piece: what InspectOut describes, in bounded memory."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.llm.model.inspect_view import WANTS, View
from app.schemas.tensor_json import Encoding, gathered, number, tensor


@dataclass(frozen=True)
class Seen:
    """What was read and what was found.

    `tensors` are those of `app.llm.model.inspect.shapes`; `token_bytes` are a token's own.
    """

    model: str
    ids: Sequence[int]
    view: View
    encoding: Encoding
    tensors: dict[str, NDArray[np.generic]]
    token_bytes: Callable[[int], bytes]


def written(seen: Seen) -> Iterator[bytes]:
    """An InspectOut."""
    yield from gathered(_head(seen))
    name = _Names(seen.token_bytes)
    for want in WANTS:
        if want not in seen.view.want:
            continue
        yield f',"{want}":'.encode()
        if want == "logit_lens":
            yield from gathered(_lens(seen, name))
        elif want == "loss":
            yield from gathered(_loss(seen, name))
        elif want == "next":
            yield from gathered(_next(seen, name))
        else:
            yield from _tensors(seen, want)
    yield b"}"


class _Names:
    """The fields of an InspectedTokenOut, written once for each id."""

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._known: dict[int, str] = {}

    def __call__(self, token_id: int) -> str:
        if token_id not in self._known:
            content = self._token_bytes(token_id)
            text = json.dumps(content.decode("utf-8", errors="replace"))
            self._known[token_id] = f'"id":{token_id},"text":{text},"bytes":{json.dumps(list(content))}'
        return self._known[token_id]


def _head(seen: Seen) -> Iterator[str]:
    yield f'{{"model":{json.dumps(seen.model)},"count":{len(seen.ids)},"tokens":'
    name = _Names(seen.token_bytes)
    yield from _list(f"{{{name(token_id)}}}" for token_id in seen.ids)
    for field, numbers in (("layers", seen.view.layers), ("heads", seen.view.heads), ("positions", seen.view.tokens)):
        yield f',"{field}":{json.dumps(numbers)}'


def _tensors(seen: Seen, want: str) -> Iterator[bytes]:
    """The tensor of that name, or an object of those that are its parts."""
    if want in seen.tensors:
        yield from tensor(seen.tensors[want].astype(np.float32, copy=False), seen.encoding)
        return
    parts = [key.split(".")[1] for key in seen.tensors if key.startswith(f"{want}.")]
    separator = b"{"
    for part in parts:
        yield separator + f'"{part}":'.encode()
        yield from tensor(seen.tensors[f"{want}.{part}"].astype(np.float32, copy=False), seen.encoding)
        separator = b","
    yield b',"position":null}' if want == "embeddings" and "position" not in parts else b"}"


def _lens(seen: Seen, name: _Names) -> Iterator[str]:
    ids, logprobs = seen.tensors["logit_lens.ids"], seen.tensors["logit_lens.logprobs"]

    def position(place: int, row: int) -> str:
        pairs = zip(ids[place, row].tolist(), logprobs[place, row].tolist(), strict=True)
        top = ",".join(f'{{{name(token_id)},"logprob":{number(logprob)}}}' for token_id, logprob in pairs)
        return f'{{"position":{seen.view.tokens[row]},"top":[{top}]}}'

    separator = "["
    for place, layer in enumerate(seen.view.layers):
        yield f'{separator}{{"layer":{layer},"tokens":'
        yield from _list(position(place, row) for row in range(len(seen.view.tokens)))
        yield "}"
        separator = ","
    yield "]"


def _loss(seen: Seen, name: _Names) -> Iterator[str]:
    losses, ranks = seen.tensors["loss.loss"].tolist(), seen.tensors["loss.rank"].tolist()
    mean = math.fsum(losses) / len(losses) if losses and all(map(math.isfinite, losses)) else math.nan
    yield f'{{"mean":{number(mean)},"tokens":'
    rows = zip(seen.view.judged(len(seen.ids)), losses, ranks, strict=True)
    yield from _list(
        f'{{"position":{position},{name(seen.ids[position + 1])},"loss":{number(loss)},"rank":{rank}}}'
        for position, loss, rank in rows
    )
    yield "}"


def _next(seen: Seen, name: _Names) -> Iterator[str]:
    columns = [seen.tensors[f"next.{part}"] for part in ("ids", "logits", "logprobs", "sampled_logprobs")]

    def position(row: int) -> str:
        top = ",".join(
            f'{{{name(token_id)},"logit":{number(logit)},"logprob":{number(own)},"sampled_logprob":{number(sampled)}}}'
            for token_id, logit, own, sampled in zip(*(column[row].tolist() for column in columns), strict=True)
        )
        return f'{{"position":{seen.view.tokens[row]},"top":[{top}]}}'

    yield from _list(position(row) for row in range(len(seen.view.tokens)))


def _list(items: Iterator[str]) -> Iterator[str]:
    yield "["
    for index, item in enumerate(items):
        yield f",{item}" if index else item
    yield "]"
