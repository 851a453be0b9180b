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
from app.errors import InvalidRequest
from app.llm.data.corpus import end_of_text, read_ids, write_ids, write_texts
from app.llm.progress import Progress, Tell, silent
from app.llm.tokenizer.base import Tokenizer
from app.services import datasets
from app.services.dataset_texts import Source
from app.services.storage import Storage

Ids = npt.NDArray[Any]

LONGEST_WORD = 1000  # characters in which a white space is looked for


@dataclass(frozen=True)
class Encoder:
    """A tokenizer together with what tells it from all others, so that its files can be kept."""

    tokenizer: Tokenizer
    fingerprint: str
    tell: Tell = silent  # how far a dataset is encoded

    @classmethod
    def of(cls, session: Session, name: str, tokenizer: Tokenizer, tell: Tell = silent) -> Encoder:
        """`tokenizer` under its `name`; one that was built here is told by its vocabulary's hash."""
        row = tokenizer_table.get(session, name)
        return cls(tokenizer, name if row is None else row.sha256, tell)


def split_point(characters: int, fraction: float) -> int:
    """Where the validation part of a text begins: chapter 5 splits characters, before any encoding."""
    return int((1.0 - fraction) * characters)


def kept_back_from(storage: Storage, source: Source, fraction: float, tokenizer: Tokenizer) -> int | None:
    """Where the part to measure on begins; None where none is kept back.

    Chapter 5 splits characters, before any encoding. A word tokenizer may know no half of a word: for it the part
    begins at the next white space.

    Raises:
        DataMissing: the file is gone.
    """
    if not fraction:
        return None
    at = split_point(source.size, fraction)
    if source.column is not None or tokenizer.kind != "word":
        return at
    text = datasets.characters(storage, source.dataset, at, LONGEST_WORD)
    return at + next((place for place, character in enumerate(text) if character.isspace()), 0)


def ids_of(
    storage: Storage,
    encoder: Encoder,
    dataset: DatasetRow,
    start: int = 0,
    end: int | None = None,
    check: Callable[[], None] = lambda: None,
    *,
    column: str | None = None,
) -> Ids:
    """Ids of the dataset's characters `start` to `end`; encoded at the first call, read from a file afterwards.

    With a `column`, `start` and `end` count rows, and an end-of-text token stands behind the text of each.

    `check` is called now and then while it is encoded, and may raise to end the work.

    Raises:
        UnknownToken: a word tokenizer without `<|unk|>` met a new word.
        InvalidRequest: the tokenizer has no end-of-text token.
        DataMissing, OSError: a file cannot be read or written.
    """
    target = _file_of(storage, encoder, dataset, (start, end), column)
    if not target.exists():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        total = (Source(dataset, column).size if end is None else end) - start

        def tell(done: int) -> None:
            encoder.tell(Progress(f"encoding {dataset.id}", done, total))

        if column is None:
            write_ids(storage.dataset(dataset.id), target, encoder.tokenizer, start, end, check, tell)
        else:
            texts = Source(dataset, column).texts(storage, start, end)
            write_texts(texts, target, encoder.tokenizer, end_id(encoder.tokenizer), check, tell)
    return read_ids(target, encoder.tokenizer.vocab_size)


def known_count(
    storage: Storage, encoder: Encoder, dataset: DatasetRow, part: tuple[int, int | None], column: str | None
) -> int | None:
    """How many ids a part has, where it is encoded already; None where it is not."""
    place = _file_of(storage, encoder, dataset, part, column)
    return len(read_ids(place, encoder.tokenizer.vocab_size)) if place.exists() else None


def end_id(tokenizer: Tokenizer) -> int:
    """What stands behind each of several texts.

    Raises:
        InvalidRequest: the tokenizer has no such token.
    """
    found = end_of_text(tokenizer)
    if found is None:
        told = "it has no end-of-text token, which stands between rows; take one with <|endoftext|>"
        raise InvalidRequest(f"tokenizer: {told}", param="tokenizer")
    return found


def _file_of(
    storage: Storage, encoder: Encoder, dataset: DatasetRow, part: tuple[int, int | None], column: str | None
) -> Path:
    known = [dataset.sha256, encoder.fingerprint, *part]
    key = json.dumps(known if column is None else [*known, dataset.format, column])
    return storage.tokens(dataset.id) / hashlib.sha256(key.encode()).hexdigest()
