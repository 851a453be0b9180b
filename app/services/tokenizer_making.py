"""Tokenizers of one's own: made from a dataset, kept under a name, deleted once nothing needs them.

Making takes seconds and no transaction; keeping takes a transaction and no time.
"""

from __future__ import annotations

import hashlib
import os
import threading
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.owned import owner_of_new
from app.db.tables import dataset as datasets
from app.db.tables import job, model
from app.db.tables import tokenizer as rows
from app.db.tables.dataset import DatasetRow
from app.db.tables.tokenizer import TokenizerRow
from app.errors import (
    Conflict,
    DataMissing,
    DatasetNotFound,
    InvalidRequest,
    MissingField,
    NameTaken,
    QueueFull,
    TokenizerNotFound,
    TooLarge,
)
from app.llm.errors import BadSpecialToken, BadVocabulary, TooFewPairs
from app.llm.tokenizer import trained
from app.llm.tokenizer.trained import TrainedTokenizer
from app.llm.tokenizer.word import WordTokenizer
from app.schemas.tokenizer import TokenizerCreate
from app.services import text_sample
from app.services.datasets import check_text
from app.services.ownership import check_may_change
from app.services.storage import NAME, Storage, check_name
from app.services.tokenizers import is_built_in

_MAX_WORD_TEXT_BYTES = 64 * 1024 * 1024  # the caller waits while the words of a dataset are collected
_MAX_LEARNT_BYTES = 16 * 1024 * 1024  # and while merges are learnt; a longer text is read in parts
_READ_AT_ONCE = 1024 * 1024  # characters of lines
_OF_ONE_KIND = {"version": "word", "vocab_size": "bpe", "special_tokens": "bpe"}
_RETRY_AFTER_S = 10

_learning = threading.Lock()  # of this process: merges are learnt on all cores, one tokenizer at a time


@dataclass(frozen=True)
class Made:
    """A tokenizer that has no name yet."""

    kind: Literal["word", "bpe", "imported"]
    version: int | None
    vocab_size: int
    special_tokens: list[str]
    trained_bytes: int | None
    content: bytes  # of its file

    @classmethod
    def of(cls, tokenizer: WordTokenizer | TrainedTokenizer, trained_bytes: int) -> Made:
        return cls(
            kind=tokenizer.kind,
            version=tokenizer.version if isinstance(tokenizer, WordTokenizer) else None,
            vocab_size=tokenizer.vocab_size,
            special_tokens=sorted(tokenizer.special_tokens, key=lambda name: tokenizer.special_tokens[name]),
            trained_bytes=trained_bytes,
            content=tokenizer.to_json().encode(),
        )


def check(session: Session, body: TokenizerCreate) -> DatasetRow:
    """The dataset that a tokenizer can be made from as it is asked for.

    Raises:
        InvalidRequest, MissingField: a field is wrong, or is not for this kind; `param` says which.
        NameTaken: a tokenizer has the name.
        DatasetNotFound: there is no such dataset.
    """
    for field, kind in _OF_ONE_KIND.items():
        value = getattr(body, field)
        if value is not None and body.kind != kind:
            raise InvalidRequest(f"{field}: only a {kind} tokenizer has it; leave it out", param=field)
        if value is None and body.kind == kind and field != "special_tokens":
            raise MissingField(f"{field}: a {kind} tokenizer needs it", param=field)
    if body.kind == "bpe":
        _check_vocabulary(body)
    return check_new(session, body.name, body.dataset)


def check_new(session: Session, name: str, dataset_id: str) -> DatasetRow:
    """The dataset that a tokenizer of this name may be made from.

    Raises:
        InvalidRequest: `name` cannot be a name, or the dataset is rows.
        NameTaken: a tokenizer has it.
        DatasetNotFound: there is no such dataset.
    """
    check_free(session, name)
    dataset = datasets.get(session, dataset_id) if NAME.fullmatch(dataset_id) else None
    if dataset is None:
        raise DatasetNotFound(f"dataset: there is no dataset {dataset_id[:200]!r}", param="dataset")
    check_text(dataset, "dataset")
    return dataset


def check_free(session: Session, name: str) -> None:
    """Raises:
    InvalidRequest: `name` cannot be a name.
    NameTaken: a tokenizer has it, whosever it is.
    """
    check_name(name)
    if is_built_in(name) or rows.is_taken(session, name):
        raise _taken(name)


def make(storage: Storage, dataset: DatasetRow, body: TokenizerCreate) -> Made:
    """The tokenizer that was asked for. Takes seconds.

    Raises:
        AppError: as `make_word` and `make_bpe`.
    """
    if body.kind == "word":
        return make_word(storage, dataset, 1 if body.version == 1 else 2)
    assert body.vocab_size is not None, "checked before"
    return make_bpe(storage, dataset, body.vocab_size, body.special_names)


def make_word(storage: Storage, dataset: DatasetRow, version: Literal[1, 2]) -> Made:
    """The book's word tokenizer over the words of a dataset.

    Raises:
        TooLarge: the dataset is longer than a caller would wait for.
        InvalidRequest: it holds no word.
        DataMissing: its file is gone.
    """
    if dataset.size_bytes > _MAX_WORD_TEXT_BYTES:
        told = f"{dataset.size_bytes:,} bytes; a word tokenizer is built from at most {_MAX_WORD_TEXT_BYTES:,}"
        raise TooLarge(f"dataset: {dataset.label} has {told}", param="dataset")
    try:
        with storage.dataset(dataset.id).open(encoding="utf-8") as file:
            # A thread that lets go of the interpreter at each small read, only to take it back, starves others.
            lines = chain.from_iterable(iter(lambda: file.readlines(_READ_AT_ONCE), []))
            made = WordTokenizer.build(lines, version)
    except FileNotFoundError as error:
        raise _gone(dataset) from error
    except BadVocabulary as error:
        raise InvalidRequest(f"dataset: {dataset.label} holds no word", param="dataset") from error
    return Made.of(made, dataset.size_bytes)


def make_bpe(storage: Storage, dataset: DatasetRow, vocab_size: int, special_tokens: list[str]) -> Made:
    """A byte-pair tokenizer learnt from a dataset, from 16 MiB spread over it where it is longer.

    Raises:
        InvalidRequest: the text is blank, or has not pairs enough for so large a vocabulary.
        DataMissing: its file is gone.
        QueueFull: another one is being learnt.
    """
    path = storage.dataset(dataset.id)
    if not _learning.acquire(blocking=False):
        raise QueueFull("another tokenizer is being trained; try again soon", retry_after_s=_RETRY_AFTER_S)
    try:
        places = text_sample.spread(text_sample.parts(path, _MAX_LEARNT_BYTES))
        learnt = trained.learn(text_sample.texts(path, places), vocab_size, special_tokens)
    except FileNotFoundError as error:
        raise _gone(dataset) from error
    except TooFewPairs as error:
        told = f"has pairs of pieces that occur twice for {error.found:,} tokens in all; ask for no more"
        raise InvalidRequest(f"vocab_size: {dataset.label} {told}", param="vocab_size") from error
    except BadVocabulary as error:
        raise InvalidRequest(f"dataset: {dataset.label}: {error}", param="dataset") from error
    finally:
        _learning.release()
    return Made.of(learnt.tokenizer, learnt.bytes_read)


def register(session: Session, storage: Storage, name: str, made: Made, dataset_id: str) -> TokenizerRow:
    """Keep a tokenizer under `name`: its row in the caller's transaction, its file complete or absent.

    Raises:
        NameTaken, DatasetNotFound: as `check_new`; somebody was faster.
    """
    check_new(session, name, dataset_id)
    return keep(session, storage, name, made, dataset_id)


def keep(session: Session, storage: Storage, name: str, made: Made, dataset_id: str | None) -> TokenizerRow:
    """As `register`, of a name that was found free.

    Raises:
        NameTaken: somebody was faster.
    """
    row = TokenizerRow(
        name=name,
        kind=made.kind,
        version=made.version,
        vocab_size=made.vocab_size,
        special_tokens=made.special_tokens,
        trained_bytes=made.trained_bytes,
        dataset_id=dataset_id,
        owner=owner_of_new(session),
        sha256=hashlib.sha256(made.content).hexdigest(),
    )
    session.add(row)
    try:
        session.flush()  # the name is ours before the file takes its place
    except IntegrityError as error:
        raise _taken(name) from error
    _write(storage, name, made.content)
    return row


def needed_by(session: Session, name: str) -> str | None:
    """What could not read or write without the tokenizer `name`, in words; None if nothing."""
    for model_name in model.with_tokenizer(session, name):
        return f"model {model_name}"
    for running in job.live(session):
        if running.tokenizer == name:
            return f"job {running.id}, which is {running.status}"
    for job_id in job.kept_with_tokenizer(session, name):
        return f"the checkpoints of job {job_id}"
    return None


def delete(session: Session, storage: Storage, name: str) -> None:
    """Remove a tokenizer and its file.

    Raises:
        TokenizerNotFound: there is none.
        MissingScope: it is nobody's.
        Conflict: it is built in, or a model, a live job or a kept checkpoint needs it.
    """
    if is_built_in(name):
        raise Conflict(f"{name} is built in and stays", param="name")
    row = rows.lock(session, name) if NAME.fullmatch(name) else None
    if row is None:
        raise TokenizerNotFound(f"name: there is no tokenizer {name[:200]!r}", param="name")
    check_may_change(session, row.owner)
    if (what := needed_by(session, name)) is not None:
        raise Conflict(f"{name} is needed by {what}", param="name")
    session.delete(row)
    session.flush()
    # Before the commit, while the row is held: afterwards the name may be another's already, and the file too.
    storage.tokenizer(name).unlink(missing_ok=True)


def _check_vocabulary(body: TokenizerCreate) -> None:
    specials = body.special_names
    try:
        trained.check_special_tokens(specials)
    except BadSpecialToken as error:
        param = "special_tokens" if error.index is None else f"special_tokens.{error.index}"
        raise InvalidRequest(f"{param}: {error}", param=param) from error
    least = trained.BYTES + len(specials)
    if body.vocab_size is not None and body.vocab_size < least:
        told = f"at least {least}: {trained.BYTES} bytes and {len(specials)} special tokens"
        raise InvalidRequest(f"vocab_size: {body.vocab_size} is too small; {told}", param="vocab_size")


def _write(storage: Storage, name: str, content: bytes) -> None:
    aside = storage.scratch / new_id("tokenizer")
    try:
        with aside.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(storage.tokenizer(name))
    finally:
        aside.unlink(missing_ok=True)


def _taken(name: str) -> NameTaken:
    return NameTaken(f"name: a tokenizer {name!r} is there already", param="name")


def _gone(dataset: DatasetRow) -> DataMissing:
    return DataMissing(f"dataset: the file of {dataset.label} is gone", param="dataset")
