"""What a process holds while it runs: settings, database, storage, tokenizers, models, and the server that
generates in place of it, where there is one. Made once, passed on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.config import Settings
from app.db.session import Database
from app.services.catalogue import Catalogue
from app.services.classifiers import Classifiers
from app.services.models import Models
from app.services.queue import Nudger, make_celery
from app.services.remote import Remote
from app.services.storage import Storage
from app.services.tokenizers import Tokenizers


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
    classifiers: Classifiers = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "classifiers", Classifiers(self.database, self.storage, self.tokenizers))

    @classmethod
    def open(cls, settings: Settings) -> Runtime:
        """Assemble the parts. Touches no network and starts no thread."""
        storage = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
        storage.prepare()
        database = Database(settings.effective_database_url)
        tokenizers = Tokenizers(storage)
        models = Models(settings, database, storage, tokenizers)
        catalogue = Catalogue(settings, storage, models)
        nudger = Nudger(make_celery(settings))
        return cls(settings, database, storage, tokenizers, models, catalogue, nudger, remote_of(settings))

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
