"""The id of a request: in the answer, and on what is logged meanwhile."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from structlog.contextvars import get_contextvars
from structlog.testing import capture_logs

from app.api.request_log import RequestLog


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()

    @app.get("/seen")
    def seen() -> str:
        return str(get_contextvars()["request_id"])

    return TestClient(RequestLog(app))


def test_each_request_has_an_id_of_its_own(client: TestClient) -> None:
    first, second = client.get("/seen"), client.get("/seen")
    assert first.json() == first.headers["x-request-id"] != second.headers["x-request-id"]


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("a" * 65, False), ("a b", False), ("a\tb", False)])
def test_a_short_plain_word_is_kept(client: TestClient, given: str, kept: bool) -> None:
    answer = client.get("/seen", headers={"x-request-id": given})
    assert (answer.headers["x-request-id"] == given) is kept


def test_a_line_tells_of_it(client: TestClient) -> None:
    with capture_logs() as lines:
        client.get("/nowhere")
    assert [(line["path"], line["status"]) for line in lines if line["event"] == "request"] == [("/nowhere", 404)]
