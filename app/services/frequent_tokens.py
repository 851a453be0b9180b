"""Which tokens a dataset has most of: counted in all of it, or where it is large in parts from all over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from app.errors import DataMissing
from app.llm.tokenizer.base import Tokenizer
from app.services import text_sample, tokens
from app.services.dataset_texts import Source
from app.services.storage import Storage

MAX_BYTES = 4 * 1024 * 1024
"""That are counted: the caller waits while they are encoded, for about a second."""


@dataclass(frozen=True)
class Frequent:
    """The most frequent tokens, the most frequent first, and of equal ones the lower id; how many were counted."""

    ids: list[int]
    counts: list[int]
    tokens: int
    sampled: bool


def count(storage: Storage, tokenizer: Tokenizer, source: Source, most: int, param: str) -> Frequent:
    """Up to `most` tokens that stand in a text, or in a column of rows; `param` is the field that named it.

    Raises:
        DataMissing: its file is gone.
        UnknownWord, InvalidRequest: the tokenizer cannot read it.
    """
    read = _Read(storage, source)
    found = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for text in read:
        ids = tokens.encode(tokenizer, text, parse_special=False, param=param)
        found += np.bincount(np.array(ids, dtype=np.int64), minlength=len(found))
    order = np.argsort(-found, kind="stable")[:most]
    order = order[found[order] > 0]
    return Frequent(order.tolist(), found[order].tolist(), int(found.sum()), read.sampled)


class _Read:
    """Texts of a dataset, about `MAX_BYTES` of them; once they are read, whether more is in it."""

    def __init__(self, storage: Storage, source: Source) -> None:
        self._storage, self._source = storage, source
        self.sampled = False

    def __iter__(self) -> Iterator[str]:
        return self._parts() if self._source.column is None else self._rows()

    def _parts(self) -> Iterator[str]:
        path = self._storage.dataset(self._source.dataset.id)
        try:
            places = text_sample.parts(path, MAX_BYTES)
            self.sampled = sum(end - start for start, end in places) < path.stat().st_size
            yield from text_sample.texts(path, places)
        except FileNotFoundError as error:
            raise DataMissing(f"the file of dataset {self._source.dataset.label} is gone") from error

    def _rows(self) -> Iterator[str]:
        size_bytes = 0
        for text in self._source.texts(self._storage):
            if size_bytes >= MAX_BYTES:
                self.sampled = True
                return
            size_bytes += len(text.encode())
            yield text
