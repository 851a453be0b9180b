"""The pages alone, on a database of their own: no model, no worker."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api import errors, pages
from app.config import Settings
from app.db.session import Database


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    app = FastAPI(docs_url=None, redoc_url=None)
    errors.install(app)
    app.include_router(pages.router)
    app.state.runtime = SimpleNamespace(settings=settings, database=database)
    with TestClient(app) as made:
        yield made
