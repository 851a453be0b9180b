"""The methods that an address takes, where it takes another."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs", "GET, POST"),
        ("/jobs/job_1", "DELETE, GET, PATCH"),
        ("/jobs/estimate", "POST"),
        ("/models/upload", "POST"),
        ("/v1/models/a", "DELETE, GET"),
        ("/ui/sign-in", "GET, POST"),
    ],
)
def test_all_methods_of_an_address_are_told(settings: Settings, path: str, methods: str) -> None:
    """Only those of the first of its routes were."""
    answer = TestClient(create_app(settings)).put(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)
