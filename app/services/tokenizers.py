"""The tokenizers of this machine by name: what there is, and loading them.

Knows names, files and rows; what a tokenizer does with text is the library's (and services/tokens'), and making one of
one's own is services/tokenizer_making's.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy.orm import Session

from app.db.tables import tokenizer as rows
from app.db.tables.tokenizer import TokenizerRow
from app.errors import DataMissing, TokenizerNotFound, TokenOutOfRange
from app.llm.errors import BadVocabulary, BadWeights, MissingData
from app.llm.tokenizer import gguf_bpe, tiktoken_data
from app.llm.tokenizer.base import Tokenizer
from app.llm.tokenizer.bpe import BytePairTokenizer
from app.llm.tokenizer.merging import parts_of
from app.llm.tokenizer.tiktoken_data import PUBLISHED
from app.llm.tokenizer.trained import TrainedTokenizer
from app.llm.tokenizer.vocabulary import Vocabulary
from app.llm.tokenizer.word import WordTokenizer
from app.services.storage import NAME, Storage

_OF_MODELS = {"smollm2": ("SmolLM2-135M-Instruct.Q4_1.gguf", 49_152)}  # name: the model's file, size of its vocabulary
_AT_INSTALL = {"gpt2", "r50k_base", "p50k_base", *_OF_MODELS}  # `make assets` brings the data of these
_OWN_TOKENIZERS_HELD = 16
IMPORTED: Final = "imported"
"""The kind of a row whose tokenizer came with a model; for users it is byte-pair encoding like all others."""


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
    special_tokens: tuple[str, ...] | None = None
    dataset: str | None = None
    dataset_name: str | None = None
    trained_bytes: int | None = None
    created_at: int | None = None


@dataclass(frozen=True)
class Entry:
    """One line of a vocabulary."""

    id: int
    text: str
    bytes: bytes
    special: bool
    merged_from: tuple[int, int] | None
    rank: int | None


class Tokenizers:
    """All tokenizers by name, loaded when first asked for. Safe to share between threads."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._built_in: dict[str, Tokenizer] = {}
        self._own: dict[tuple[str, str], Tokenizer] = {}  # by name and hash of the file, in the order of loading
        self._loading = threading.Lock()

    def get(self, session: Session, name: str, param: str = "tokenizer") -> Tokenizer:
        """The tokenizer `name`; `param` is the field of the request that named it.

        Raises:
            TokenizerNotFound: there is none.
            DataMissing: there is, but its data is not on this machine; the message says how to get it.
        """
        if is_built_in(name):
            with self._loading:
                if name not in self._built_in:
                    self._built_in[name] = self._load_built_in(name, param)
                return self._built_in[name]
        row = self._row(session, name, param)  # each time: the name may have been deleted and given anew
        key = (name, row.sha256)
        with self._loading:
            if key not in self._own:
                self._own[key] = self._load_own(row, param)
                if len(self._own) > _OWN_TOKENIZERS_HELD:
                    del self._own[next(iter(self._own))]
            return self._own[key]

    def at_hand(self, name: str) -> Tokenizer | None:
        """The built-in tokenizer `name`, if it was loaded before: needs neither database nor disk."""
        return self._built_in.get(name)

    def one(self, session: Session, name: str) -> TokenizerInfo:
        """What can be said of the tokenizer `name`.

        Raises:
            TokenizerNotFound: there is none.
        """
        if name in PUBLISHED:
            return self._info(name, PUBLISHED[name].vocab_size, "tiktoken")
        if name in _OF_MODELS:
            return self._info(name, _OF_MODELS[name][1], "model")
        return self.info(self._row(session, name, "name"))

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
            kind="word" if row.kind == "word" else "bpe",
            vocab_size=row.vocab_size,
            source="model" if row.kind == IMPORTED else "dataset",
            available=available,
            hint=None if available else "its file is gone from the data directory; build it anew under another name",
            version=row.version,
            special_tokens=tuple(row.special_tokens),
            dataset=row.dataset_id,
            dataset_name=None if row.dataset is None else row.dataset.name,
            trained_bytes=row.trained_bytes,
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
        entries = [_entry(tokenizer, token_id, is_special=token_id in specials) for token_id in ids]
        return entries, ids.stop < tokenizer.vocab_size

    def _info(self, name: str, vocab_size: int, source: Literal["tiktoken", "model"]) -> TokenizerInfo:
        if name in self._built_in:
            available = True
        elif source == "tiktoken":
            available = tiktoken_data.is_present(name, self._storage.tiktoken_cache)
        else:
            available = self._storage.asset(_OF_MODELS[name][0]).exists()
        specials = tuple(PUBLISHED[name].special_tokens) if source == "tiktoken" else None
        hint = None if available else _hint(name)
        return TokenizerInfo(name, "bpe", vocab_size, source, available, hint, special_tokens=specials)

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

    def _row(self, session: Session, name: str, param: str) -> TokenizerRow:
        row = rows.get(session, name) if NAME.fullmatch(name) else None
        if row is None:
            raise TokenizerNotFound(f"{param}: there is no tokenizer {name[:200]!r}", param=param)
        return row

    def _load_own(self, row: TokenizerRow, param: str) -> Tokenizer:
        try:
            content = self._storage.tokenizer(row.name).read_bytes()
        except FileNotFoundError:
            content = b""
        if hashlib.sha256(content).hexdigest() != row.sha256:
            told = "is gone from the data directory, or was changed; build it anew under another name"
            raise DataMissing(f"{param}: the file of tokenizer {row.name} {told}", param=param)
        if row.kind == IMPORTED:
            return Vocabulary.from_json(content.decode()).tokenizer()
        kind = WordTokenizer if row.kind == "word" else TrainedTokenizer
        return kind.from_json(content.decode())


def is_built_in(name: str) -> bool:
    return name in PUBLISHED or name in _OF_MODELS


def _hint(name: str) -> str:
    if name in _AT_INSTALL:
        return "`make assets` brings it (it needs a network)."
    published = PUBLISHED[name]
    target = f'"${{INKLING_ASSETS_DIR:-.venv/share/inkling}}/tiktoken/{published.file_name}"'
    return f"Where there is a network, in Inkling's folder: `curl --create-dirs -o {target} {published.url}`"


def _entry(tokenizer: Tokenizer, token_id: int, *, is_special: bool) -> Entry:
    content = tokenizer.token_bytes(token_id)
    pairs = tokenizer if isinstance(tokenizer, BytePairTokenizer) else None
    is_merged = pairs is not None and len(content) > 1 and pairs.id_of(content) == token_id
    return Entry(
        id=token_id,
        text=content.decode("utf-8", errors="replace"),
        bytes=content,
        special=is_special,
        merged_from=parts_of(pairs, token_id) if pairs else None,
        rank=pairs.merge_rank(token_id) if pairs and is_merged else None,
    )
