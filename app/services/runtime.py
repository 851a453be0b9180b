"""What a process holds while it runs: settings, database, storage, tokenizers, models, and the server that
generates in place of it, where there is one. Made once, passed on."""

from __future__ import annotations

import asyncio
from copy import copy
from dataclasses import dataclass, field

from app.config import Settings
from app.db.owned import Owner
from app.db.session import Database
from app.services.catalogue import Catalogue
from app.services.classifiers import Classifiers
from app.services.ended_sessions import EndedSessions
from app.services.keys import Caller, Keys
from app.services.limits import Limits
from app.services.loaded_model import LoadedModel
from app.services.metrics import Metrics
from app.services.models import Models
from app.services.queue import Nudger, make_celery
from app.services.remote import Remote
from app.services.sessions import Sessions
from app.services.storage import Storage
from app.services.tokenizers import Tokenizers
from app.services.tracing import OFF, Tracing


@dataclass(frozen=True)
class Runtime:
    settings: Settings
    database: Database
    storage: Storage
    tokenizers: Tokenizers
    models: Models
    catalogue: Catalogue
    nudger: Nudger
    remote: Remote | None = None
    """What generates in place of `models`."""
    tracing: Tracing = OFF
    classifiers: Classifiers = field(init=False)
    keys: Keys = field(init=False)
    sessions: Sessions = field(init=False)
    limits: Limits = field(init=False)
    ended_sessions: EndedSessions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classifiers", Classifiers(self.database, self.storage, self.tokenizers))
        object.__setattr__(self, "keys", Keys(self.database))
        object.__setattr__(self, "ended_sessions", EndedSessions(self.database))
        object.__setattr__(self, "sessions", Sessions(self.storage.session_secret))
        object.__setattr__(self, "limits", Limits(self.settings, self.models.metrics))

    @classmethod
    def open(cls, settings: Settings, tracing: Tracing = OFF) -> Runtime:
        """Assemble the parts. Touches no network and starts no thread."""
        storage = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
        storage.prepare()
        database = Database(settings.effective_database_url)
        tokenizers = Tokenizers(storage)
        models = Models(settings, database, storage, tokenizers, metrics=Metrics(tracing))
        catalogue = Catalogue(settings, storage, models)
        nudger = Nudger(make_celery(settings), tracing)
        return cls(settings, database, storage, tokenizers, models, catalogue, nudger, remote_of(settings), tracing)

    def of(self, caller: Caller) -> Runtime:
        """The same, for the requests of a key: its database shows what the key may see."""
        made = copy(self)
        object.__setattr__(made, "database", self.database.of(Owner(caller.key_id, caller.may("admin"))))
        return made

    async def model(self, name: str | None = None) -> LoadedModel:
        """A model (None: the default one) that a request names, loaded if need be; another key's is none.

        Raises:
            AppError: as `Models.wait_for`.
        """
        return await self.models.wait_for(name, self.database.owner)

    @property
    def is_idle(self) -> bool:
        """Nothing is being generated."""
        if self.remote is not None and not self.remote.is_idle:
            return False
        return all(loop.is_idle for loop in self.models.loops().values())

    async def end_generations(self) -> None:
        """End what is still being generated: as aborted here, as failed where another server writes it."""
        if self.remote is not None:
            await self.remote.close()
        await asyncio.to_thread(self.models.close)

    def close(self) -> None:
        """Stop the engines and give connections back."""
        self.models.close()
        self.database.dispose()


def remote_of(settings: Settings) -> Remote | None:
    """The server that is to generate, if it is not this process."""
    if settings.remote_url is None:
        return None
    return Remote(settings.remote_url, settings.generation_api_key, settings.request_timeout_s)
