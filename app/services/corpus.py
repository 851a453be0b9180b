"""Datasets as token ids: encoded once for a tokenizer and a range of characters, then read from a file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from sqlalchemy.orm import Session

from app.db.tables import tokenizer as tokenizer_table
from app.db.tables.dataset import DatasetRow
from app.llm.data.corpus import read_ids, write_ids
from app.llm.tokenizer.base import Tokenizer
from app.services.storage import Storage

Ids = npt.NDArray[Any]


@dataclass(frozen=True)
class Encoder:
    """A tokenizer together with what tells it from all others, so that its files can be kept."""

    tokenizer: Tokenizer
    fingerprint: str

    @classmethod
    def of(cls, session: Session, name: str, tokenizer: Tokenizer) -> Encoder:
        """`tokenizer` under its `name`; one that was built here is told by its vocabulary's hash."""
        row = tokenizer_table.get(session, name)
        return cls(tokenizer, name if row is None else row.sha256)


def split_point(characters: int, fraction: float) -> int:
    """Where the validation part of a text begins: chapter 5 splits characters, before any encoding."""
    return int((1.0 - fraction) * characters)


def ids_of(
    storage: Storage,
    encoder: Encoder,
    dataset: DatasetRow,
    start: int = 0,
    end: int | None = None,
    check: Callable[[], None] = lambda: None,
) -> Ids:
    """Ids of the dataset's characters `start` to `end`; encoded at the first call, read from a file afterwards.

    `check` is called now and then while it is encoded, and may raise to end the work.

    Raises:
        UnknownToken: a word tokenizer without `<|unk|>` met a new word.
        OSError: a file cannot be read or written.
    """
    target = _file_of(storage, encoder, dataset, start, end)
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_ids(storage.dataset(dataset.id), target, encoder.tokenizer, start, end, check)
    return read_ids(target, encoder.tokenizer.vocab_size)


def _file_of(storage: Storage, encoder: Encoder, dataset: DatasetRow, start: int, end: int | None) -> Path:
    key = json.dumps([dataset.sha256, encoder.fingerprint, start, end])
    return storage.tokens(dataset.id) / hashlib.sha256(key.encode()).hexdigest()
