"""Bodies that say they are packed."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.main import create_app
from tests.locked import locked


@pytest.mark.parametrize(
    ("packed", "status"), [("gzip", 415), ("GZIP", 415), ("br, gzip", 415), ("identity", 200), ("", 200)]
)
def test_only_plain_bodies_are_read(tmp_path: Path, packed: str, status: int) -> None:
    app = create_app(locked(tmp_path / "data").model_copy(update={"require_keys": "false"}))
    body = b'{"text": "one two", "pattern": "white_space"}'
    headers = {"content-type": "application/json", "content-encoding": packed}
    with TestClient(app) as client:
        answer = client.post("/lessons/split", content=gzip.compress(body) if status == 415 else body, headers=headers)
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["error"]["code"] == "unsupported_format"
