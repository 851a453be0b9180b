"""The short way and FastAPI's own must answer alike."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.config import Settings
from app.main import create_app
from tests.fakes import eventually
from tests.serving import served

LEAN = {"content-type": "application/json"}
USUAL = {"content-type": "application/json; charset=utf-8"}  # not taken by the short way

BODIES = [
    b'{"text": "Hello, do you like tea?"}',
    '{"text": ["Akwirw ier", "", "漢字 🙂"], "tokenizer": "gpt2", "specials": "parse"}'.encode(),
    b'{"text": "a", "text": "b"}',
    b"",
    b"{",
    b"[]",
    b'{"text": 3}',
    b'{"text": "a", "colour": "red"}',
    b'{"text": "a", "tokenizer": "nobody"}',
    b'{"text": "\\ud800"}',
    b'{"text": "\xff"}',
    b'{"text": ' + b"9" * 5000 + b"}",
    b'{"text": NaN}',
    b'{"text": ' + b"[" * 3000 + b"]" * 3000 + b"}",
    b'\xef\xbb\xbf{"text": "a"}',
]


@pytest.fixture(scope="module")
def client(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service with tiktoken's files and without the default model."""
    folder = tmp_path_factory.mktemp("lean")
    (folder / "assets").mkdir()
    os.symlink(assets / "tiktoken", folder / "assets" / "tiktoken")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=folder / "assets", database_url="", broker_url=""
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        yield made


@pytest.mark.parametrize("body", BODIES)
def test_both_ways_answer_alike(client: TestClient, body: bytes) -> None:
    lean = client.post("/encode", content=body, headers=LEAN)
    usual = client.post("/encode", content=body, headers=USUAL)
    assert (lean.status_code, lean.content) == (usual.status_code, usual.content)


@pytest.mark.parametrize("body", [b'{"ids": [15496, 11]}', b'{"ids": [[1], []]}', b'{"ids": [1.0]}', b'{"ids": [-1]}'])
def test_decoding_too(client: TestClient, body: bytes) -> None:
    lean = client.post("/decode", content=body, headers=LEAN)
    usual = client.post("/decode", content=body, headers=USUAL)
    assert (lean.status_code, lean.content) == (usual.status_code, usual.content)


def test_tokenize_takes_both_of_its_bodies(client: TestClient) -> None:
    for body in (b'{"text": "tea"}', b'{"prompt": 3}', b'{"text": "tea", "prompt": "tea"}', b"{}"):
        lean = client.post("/tokenize", content=body, headers=LEAN)
        usual = client.post("/tokenize", content=body, headers=USUAL)
        assert (lean.status_code, lean.content) == (usual.status_code, usual.content)


def test_a_client_that_hangs_up_while_it_sends_is_no_failure_of_ours(client: TestClient) -> None:
    head = b"POST /encode HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    with capture_logs() as lines, served(client.app) as port:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            raw.sendall(head + b'{"text": "half a te')
        eventually(lambda: any(line["event"] == "request" for line in lines))
    told = [line for line in lines if line["event"] == "request" or line["log_level"] == "error"]
    assert [(line["event"], line.get("status")) for line in told] == [("request", 499)]
