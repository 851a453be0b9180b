"""Whoever generates, the routes are the same."""

from __future__ import annotations

from app.config import Settings
from app.main import create_app


def test_the_same_paths_methods_and_bodies(settings: Settings) -> None:
    remote = settings.model_copy(update={"generation_backend": "http://127.0.0.1:1"})
    here, there = (create_app(each).openapi()["paths"] for each in (settings, remote))
    assert here.keys() == there.keys()
    for path, operations in here.items():
        assert operations.keys() == there[path].keys()
        for method, operation in operations.items():
            assert operation.get("requestBody") == there[path][method].get("requestBody"), path
