"""The service with a tokenizer made of the shipped story, and what tests of jobs ask of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app

TIDE = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides"}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service without any assets, with a tokenizer of the shipped story's words."""
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets", "default_tokenizer": "tides"})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        assert made.post("/tokenizers", json=new).status_code == 201
        yield made


def ask(client: TestClient, **fields: object):
    body = json.dumps(TIDE | fields)
    return client.post("/jobs", content=body, headers={"content-type": "application/json"})


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return response.status_code, error["code"], error["param"]
