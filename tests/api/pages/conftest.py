"""The pages alone, on a database of their own: no model, no worker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api import errors, held, pages
from app.config import Settings
from app.db.session import Database
from app.services.runtime import Runtime


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    errors.install(app)
    app.include_router(pages.router)
    runtime = Runtime.open(settings)  # on the same file as `database`, which made its tables
    app.state.runtime = SimpleNamespace(**vars(runtime))
    app.state.places = held.Places()
    with TestClient(app) as made:
        yield made
    runtime.close()
