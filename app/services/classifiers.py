"""The classifiers that answer: read when one is asked for, and let go of after a minute without a question.

Their weights are pages of files, which the system takes back where it needs them: no model makes room for one.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.db.owned import Owner
from app.db.session import Database
from app.errors import DataMissing, WrongModel
from app.llm.config import ClassifierConfig
from app.llm.errors import LLMError
from app.llm.tokenizer.base import Tokenizer
from app.services import model_files
from app.services.float_network import FloatNetwork
from app.services.model_files import Place
from app.services.storage import Storage
from app.services.tokenizers import Tokenizers

if TYPE_CHECKING:
    from app.llm.model.classifier import Classifier

MOST = 8
"""Known at a time; those that are at work are kept beyond that."""


@dataclass(frozen=True)
class Opened:
    """A classifier that can be asked."""

    name: str
    version: str
    shape: ClassifierConfig
    tokenizer: Tokenizer
    network: FloatNetwork[Classifier]


class Classifiers:
    """Those that were asked lately, by name. Safe to use from any thread."""

    def __init__(self, database: Database, storage: Storage, tokenizers: Tokenizers) -> None:
        self._database, self._storage, self._tokenizers = database, storage, tokenizers
        self._books = threading.Lock()
        self._known: OrderedDict[str, Opened] = OrderedDict()

    def get(self, name: str, asked_by: Owner | None = None) -> Opened:
        """A registered classifier, or a job's checkpoint of one. Its weights are read when they are lent.

        Args:
            asked_by: who sees no other key's; None sees all.

        Raises:
            ModelNotFound, CheckpointNotFound: there is none of that name.
            DataMissing: there is, but its files or its tokenizer are gone or damaged.
            WrongModel: it tells no classes.
        """
        with self._database.of(asked_by).read() as session:
            place = model_files.find_any(session, self._storage, name)
            if model_files.family(place) != "classifier":
                told = "is no classifier; `inkling train classify` makes one of it"
                raise WrongModel(f"model: {name} {told}", param="model")
        with self._books:
            found = self._known.get(place.name)
            if found is not None and found.version == place.version:
                self._known.move_to_end(place.name)
                return found
        opened = self._opened(place)
        with self._books:
            self._known[place.name] = opened
            gone = [one for one, each in self._known.items() if not each.network.is_lent and one != place.name]
            for one in gone[: max(0, len(self._known) - MOST)]:
                self._known.pop(one).network.close()
        return opened

    def forget(self, name: str) -> None:
        """Let go of one that was deleted; what it is asked for still is answered."""
        with self._books:
            found = self._known.pop(name, None)
        if found is not None:
            found.network.close()

    def _opened(self, place: Place) -> Opened:
        shape, tokenizer_name = model_files.classifier_of(place)
        with self._database.read() as session:
            tokenizer = self._tokenizers.get(session, tokenizer_name, param="model")
        if tokenizer.vocab_size != shape.vocab_size:
            sizes = f"{shape.vocab_size} tokens, but its tokenizer {tokenizer_name} {tokenizer.vocab_size}"
            raise DataMissing(f"model: {place.name} has {sizes}", param="model")
        return Opened(place.name, place.version, shape, tokenizer, FloatNetwork(lambda: _read(place), lambda: None))


def _read(place: Place) -> Classifier:
    from app.llm.checkpoint import load_model
    from app.llm.model.classifier import Classifier

    try:
        network, _ = load_model(place.path)
    except (LLMError, OSError) as error:
        raise DataMissing(f"model: the files of {place.name} cannot be used: {error}", param="model") from error
    assert isinstance(network, Classifier), "its family says so"
    network.requires_grad_(False)
    return network
