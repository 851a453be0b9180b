"""What a process holds while it runs: settings, database, storage, tokenizers, models. Made once, passed on."""

from __future__ import annotations

from dataclasses import dataclass

from app.config import Settings
from app.db.session import Database
from app.services.catalogue import Catalogue
from app.services.models import Models
from app.services.queue import Nudger, make_celery
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

    @classmethod
    def open(cls, settings: Settings) -> Runtime:
        """Assemble the parts. Touches no network and starts no thread."""
        storage = Storage(settings.data_dir, settings.assets_dir, settings.effective_import_dir)
        storage.prepare()
        database = Database(settings.effective_database_url)
        tokenizers = Tokenizers(storage)
        models = Models(settings, database, storage, tokenizers)
        catalogue = Catalogue(settings, storage, models)
        return cls(settings, database, storage, tokenizers, models, catalogue, Nudger(make_celery(settings)))

    def close(self) -> None:
        """Stop the engines and give connections back."""
        self.models.close()
        self.database.dispose()
