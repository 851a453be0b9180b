"""The tokenizers of this machine by name: what there is, loading, building one from a dataset.

Knows names, files and rows; what a tokenizer does with text is the library's (and services/tokens').
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.db.base import new_id
from app.db.session import after_commit
from app.db.tables import dataset as datasets
from app.db.tables import tokenizer as rows
from app.db.tables.dataset import DatasetRow
from app.db.tables.tokenizer import TokenizerRow
from app.errors import (
    DataMissing,
    DatasetNotFound,
    InvalidRequest,
    NameTaken,
    TokenizerNotFound,
    TokenOutOfRange,
    TooLarge,
)
from app.llm.errors import BadVocabulary, BadWeights, MissingData
from app.llm.tokenizer import gguf_bpe, tiktoken_data
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.tiktoken_data import PUBLISHED
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.tokenizer.word import Version, WordTokenizer
from app.services.storage import NAME, Storage, check_name

_OF_MODELS = {"smollm2": ("SmolLM2-135M-Instruct.Q4_1.gguf", 49_152)}  # name: the model's file, size of its vocabulary
_AT_INSTALL = {"gpt2", "r50k_base", "p50k_base", *_OF_MODELS}  # `make assets` brings the data of these
_MAX_WORD_TEXT_BYTES = 64 * 1024 * 1024  # the caller waits while the words of a dataset are collected
_READ_AT_ONCE = 1024 * 1024  # characters of lines
_WORD_TOKENIZERS_HELD = 16


@dataclass(frozen=True)
class TokenizerInfo:
    """What can be said of a tokenizer without loading it."""

    name: str
    kind: Literal["word", "bpe"]
    vocab_size: int
    source: Literal["tiktoken", "model", "dataset"]
    available: bool
    hint: str | None = None
    version: int | None = None
    dataset: str | None = None
    created_at: int | None = None


@dataclass(frozen=True)
class Entry:
    """One line of a vocabulary."""

    id: int
    text: str
    bytes: bytes
    special: bool


class Tokenizers:
    """All tokenizers by name, loaded when first asked for. Safe to share between threads."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._built_in: dict[str, Tokenizer] = {}
        self._words: dict[str, Tokenizer] = {}  # in the order of loading
        self._loading = threading.Lock()

    def get(self, session: Session, name: str, param: str = "tokenizer") -> Tokenizer:
        """The tokenizer `name`; `param` is the field of the request that named it.

        Raises:
            TokenizerNotFound: there is none.
            DataMissing: there is, but its data is not on this machine; the message says how to get it.
        """
        found = self._built_in.get(name) or self._words.get(name)
        if found is not None:
            return found
        with self._loading:
            if name in PUBLISHED or name in _OF_MODELS:
                if name not in self._built_in:
                    self._built_in[name] = self._load_built_in(name, param)
                return self._built_in[name]
            if name not in self._words:
                self._words[name] = self._load_word(session, name, param)
                if len(self._words) > _WORD_TOKENIZERS_HELD:
                    del self._words[next(iter(self._words))]
            return self._words[name]

    def list(self, session: Session) -> list[TokenizerInfo]:
        """All tokenizers: the built-in ones first, then those made here, by name."""
        published = [self._info(name, each.vocab_size, "tiktoken") for name, each in PUBLISHED.items()]
        of_models = [self._info(name, vocab_size, "model") for name, (_, vocab_size) in _OF_MODELS.items()]
        return [*published, *of_models, *(self.info(row) for row in rows.by_name(session))]

    def page(self, session: Session, after: str | None, limit: int) -> tuple[Sequence[TokenizerInfo], bool]:
        """Up to `limit` tokenizers of that list, those behind the one named `after`, and whether more follow.

        Raises:
            TokenizerNotFound: `after` names none.
        """
        infos = self.list(session)
        names = [info.name for info in infos]
        if after is not None and after not in names:
            raise TokenizerNotFound(f"after: there is no tokenizer {after[:200]!r}", param="after")
        first = 0 if after is None else names.index(after) + 1
        return infos[first : first + limit], len(infos) > first + limit

    def info(self, row: TokenizerRow) -> TokenizerInfo:
        available = self._storage.tokenizer(row.name).exists()
        return TokenizerInfo(
            name=row.name,
            kind="bpe" if row.kind == "bpe" else "word",
            vocab_size=row.vocab_size,
            source="model" if row.kind == "bpe" else "dataset",
            available=available,
            hint=None if available else "its file is gone from the data directory; build it anew under another name",
            version=None if row.kind == "bpe" else row.version,
            dataset=row.dataset_id,
            created_at=int(row.created_at),
        )

    def vocab(self, session: Session, name: str, after: int | None, limit: int) -> tuple[Sequence[Entry], bool]:
        """Up to `limit` entries whose ids follow `after` (None: from the first), and whether more follow.

        Raises:
            TokenizerNotFound, DataMissing: as `get`.
            TokenOutOfRange: `after` is no id of the vocabulary.
        """
        tokenizer = self.get(session, name, param="name")
        if after is not None and after >= tokenizer.vocab_size:
            raise TokenOutOfRange(f"after: the ids of {name} are 0..{tokenizer.vocab_size - 1}", param="after")
        first = 0 if after is None else after + 1
        ids = range(first, min(first + limit, tokenizer.vocab_size))
        specials = frozenset(tokenizer.special_tokens.values())
        contents = ((token_id, tokenizer.token_bytes(token_id)) for token_id in ids)
        entries = [
            Entry(token_id, content.decode("utf-8", errors="replace"), content, token_id in specials)
            for token_id, content in contents
        ]
        return entries, ids.stop < tokenizer.vocab_size

    def check_new(self, session: Session, name: str, dataset_id: str) -> DatasetRow:
        """The dataset that a tokenizer of this name may be built from.

        Raises:
            InvalidRequest: `name` cannot be a name.
            NameTaken: a tokenizer has it.
            DatasetNotFound: there is no such dataset.
        """
        check_name(name)
        if name in PUBLISHED or name in _OF_MODELS or rows.get(session, name) is not None:
            raise NameTaken(f"name: a tokenizer {name!r} is there already", param="name")
        dataset = datasets.get(session, dataset_id) if NAME.fullmatch(dataset_id) else None
        if dataset is None:
            raise DatasetNotFound(f"dataset: there is no dataset {dataset_id!r}", param="dataset")
        return dataset

    def build_word(self, dataset: DatasetRow, version: Version) -> WordTokenizer:
        """The book's word tokenizer over the words of a dataset. Takes seconds, needs no transaction.

        Raises:
            TooLarge: the dataset is longer than a caller would wait for.
            InvalidRequest: it holds no word.
            DataMissing: its file is gone.
        """
        if dataset.size_bytes > _MAX_WORD_TEXT_BYTES:
            told = f"{dataset.size_bytes:,} bytes; a word tokenizer is built from at most {_MAX_WORD_TEXT_BYTES:,}"
            raise TooLarge(f"dataset: {dataset.id} has {told}", param="dataset")
        try:
            with self._storage.dataset(dataset.id).open(encoding="utf-8") as file:
                # A thread that lets go of the interpreter at each small read, only to take it back, starves others.
                lines = chain.from_iterable(iter(lambda: file.readlines(_READ_AT_ONCE), []))
                return WordTokenizer.build(lines, version)
        except FileNotFoundError as error:
            raise DataMissing(f"dataset: the file of {dataset.id} is gone", param="dataset") from error
        except BadVocabulary as error:
            raise InvalidRequest(f"dataset: {dataset.id} holds no word", param="dataset") from error

    def register_word(self, session: Session, name: str, tokenizer: WordTokenizer, dataset_id: str) -> TokenizerRow:
        """Keep a tokenizer under `name`: its row in the caller's transaction, its file complete or absent.

        Raises:
            NameTaken, DatasetNotFound: as `check_new`; somebody was faster.
        """
        self.check_new(session, name, dataset_id)
        content = tokenizer.to_json().encode()
        row = TokenizerRow(
            name=name,
            kind=tokenizer.kind,
            version=tokenizer.version,
            vocab_size=tokenizer.vocab_size,
            dataset_id=dataset_id,
            sha256=hashlib.sha256(content).hexdigest(),
        )
        return self._register(session, row, content)

    def twin(self, session: Session, tokenizer: Tokenizer) -> str | None:
        """The name of a model's tokenizer that ships and is the same as this one, if there is such."""
        for name in ("gpt2", *_OF_MODELS):
            try:
                known = self.get(session, name)
            except DataMissing:
                continue
            if known.vocab_size == tokenizer.vocab_size and _entries(known) == _entries(tokenizer):
                return name
        return None

    def register_vocabulary(self, session: Session, name: str, vocabulary: Vocabulary) -> TokenizerRow:
        """Keep an imported model's tokenizer under `name`, as `register_word` does.

        Raises:
            NameTaken: a tokenizer has it.
        """
        if name in PUBLISHED or name in _OF_MODELS or rows.get(session, name) is not None:
            raise NameTaken(f"name: a tokenizer {name!r} is there already", param="name")
        content = vocabulary.to_json().encode()
        row = TokenizerRow(
            name=name,
            kind="bpe",
            version=1,
            vocab_size=len(vocabulary.tokens),
            dataset_id=None,
            sha256=hashlib.sha256(content).hexdigest(),
        )
        return self._register(session, row, content)

    def remove_imported(self, session: Session, name: str) -> None:
        """Delete the tokenizer that came with a model, if it did; its file goes after the commit."""
        row = rows.get(session, name)
        if row is not None and row.kind == "bpe" and row.dataset_id is None:
            session.delete(row)
            file = self._storage.tokenizer(name)
            after_commit(session, lambda: file.unlink(missing_ok=True))
            after_commit(session, lambda: self._forget(name))

    def _forget(self, name: str) -> None:
        self._words.pop(name, None)

    def _register(self, session: Session, row: TokenizerRow, content: bytes) -> TokenizerRow:
        session.add(row)
        try:
            session.flush()  # the name is ours before the file takes its place
        except IntegrityError as error:
            raise NameTaken(f"name: a tokenizer {row.name!r} is there already", param="name") from error
        self._write(row.name, content)
        return row

    def _write(self, name: str, content: bytes) -> None:
        aside = self._storage.scratch / new_id("tokenizer")
        try:
            with aside.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(self._storage.tokenizer(name))
        finally:
            aside.unlink(missing_ok=True)

    def _info(self, name: str, vocab_size: int, source: Literal["tiktoken", "model"]) -> TokenizerInfo:
        if name in self._built_in:
            available = True
        elif source == "tiktoken":
            available = tiktoken_data.is_present(name, self._storage.tiktoken_cache)
        else:
            available = self._storage.asset(_OF_MODELS[name][0]).exists()
        return TokenizerInfo(name, "bpe", vocab_size, source, available, None if available else _hint(name))

    def _load_built_in(self, name: str, param: str) -> Tokenizer:
        try:
            if name in PUBLISHED:
                return tiktoken_data.load(name, self._storage.tiktoken_cache)
            return self._load_of_model(_OF_MODELS[name][0])
        except (MissingData, FileNotFoundError, BadWeights, BadVocabulary) as error:
            message = f"{param}: the data of {name} is not on this machine. {_hint(name)}"
            raise DataMissing(message, param=param) from error

    def _load_of_model(self, file_name: str) -> Tokenizer:
        from app.llm.weights.gguf import read_metadata

        data = read_metadata(self._storage.asset(file_name))
        return gguf_bpe.from_vocabulary(data.tokens, data.token_types, data.merges, data.pre, data.eos_id)

    def _load_word(self, session: Session, name: str, param: str) -> Tokenizer:
        row = rows.get(session, name) if NAME.fullmatch(name) else None
        if row is None:
            raise TokenizerNotFound(f"{param}: there is no tokenizer {name[:200]!r}", param=param)
        try:
            content = self._storage.tokenizer(name).read_bytes()
        except FileNotFoundError:
            content = b""
        if hashlib.sha256(content).hexdigest() != row.sha256:
            told = "is gone from the data directory, or was changed; build it anew under another name"
            raise DataMissing(f"{param}: the file of tokenizer {name} {told}", param=param)
        if row.kind == "bpe":
            return Vocabulary.from_json(content.decode()).tokenizer()
        return WordTokenizer.from_json(content.decode())


def _entries(tokenizer: Tokenizer) -> tuple[object, ...]:
    """What two byte-pair tokenizers have in common if they are one."""
    pieces = [tokenizer.token_bytes(token_id) for token_id in range(tokenizer.vocab_size)]
    return getattr(tokenizer, "pattern", None), dict(tokenizer.special_tokens), pieces


def _hint(name: str) -> str:
    if name in _AT_INSTALL:
        return "`make assets` brings it (it needs a network)."
    published = PUBLISHED[name]
    target = f'"${{INKLING_ASSETS_DIR:-.venv/share/inkling}}/tiktoken/{published.file_name}"'
    return f"Where there is a network, in Inkling's folder: `curl --create-dirs -o {target} {published.url}`"
