"""The service with a tokenizer made of the shipped story, and what tests of jobs ask of it."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.main import create_app
from tests.jobs_made import a_model

TIDE = {"recipe": "pretrain", "dataset": "the-tide-clock", "tokenizer": "tides"}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service without any assets, with a tokenizer of the shipped story's words."""
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets", "default_tokenizer": "tides"})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        assert made.post("/tokenizers", json=new).status_code == 201
        yield made


def add_base(client: TestClient, seed: int = 0, context_length: int = 160) -> None:
    """A small model called `base`, of the story's words; another seed, other weights."""
    runtime = client.app.state.runtime
    with runtime.database.read() as session:
        tokenizer = runtime.tokenizers.get(session, "tides")
    config = ModelConfig(tokenizer.vocab_size, context_length, emb_dim=8, n_heads=2, n_layers=1)
    torch.manual_seed(seed)
    saved = save_model(runtime.storage.model("base"), Transformer(config), ModelMeta(config, "tides"))
    with runtime.database.write() as session:
        session.add(a_model("base", tokenizer="tides", config=config.to_dict(), sha256=saved.weights_sha256))


def ask(client: TestClient, **fields: object):
    body = json.dumps(TIDE | fields)
    return client.post("/jobs", content=body, headers={"content-type": "application/json"})


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return response.status_code, error["code"], error["param"]
