"""The API page stands on files of this machine."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient


def test_docs_load_swagger_from_this_server(client: TestClient) -> None:
    answer = client.get("/docs")
    assert answer.status_code == 200
    assert "/static/swagger/swagger-ui-bundle.js" in answer.text
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)


def test_pages_stand_in_no_api_description(client: TestClient) -> None:
    assert client.get("/openapi.json").json()["paths"] == {}
