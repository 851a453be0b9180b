"""The OpenAPI document beside what FastAPI finds: answers of the edge, links, blanks in forms, files that are sent."""

from __future__ import annotations

from typing import Any

import pytest

from app.api.document import MADE
from app.config import Settings
from app.main import create_app


@pytest.fixture
def document(settings: Settings) -> dict[str, Any]:
    return create_app(settings).openapi()


def test_what_is_made_leads_to_all_that_can_be_done_with_it(document: dict[str, Any]) -> None:
    paths = document["paths"]
    named = {operation["operationId"]: path for path, each in paths.items() for operation in each.values()}
    for path, (made, field) in MADE.items():
        links = next(told["links"] for told in paths[path]["post"]["responses"].values() if "links" in told)
        assert {named[link["operationId"]] for link in links.values()} >= {made}
        parameter = made.partition("{")[2].removesuffix("}")
        for link in links.values():
            assert link["parameters"] == {f"path.{parameter}": f"$response.body#/{field}"}


def test_the_edge_may_refuse_any_body_and_be_away(document: dict[str, Any]) -> None:
    for operation in (each for path in document["paths"].values() for each in path.values()):
        wanted = {"503"} | ({"413", "415"} if "requestBody" in operation else set())
        assert wanted <= operation["responses"].keys()


def test_a_blank_field_of_a_form_is_told_to_be_left_out(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["DatasetForm"]["properties"]
    assert {"const": "", "description": "The same as left out."} in fields["format"]["anyOf"]


@pytest.mark.parametrize(
    ("path", "types"),
    [
        ("/models/{name}/download", {"application/octet-stream"}),
        ("/models/{name}/export", {"application/octet-stream", "application/x-tar"}),
    ],
)
def test_files_are_sent_as_what_they_are(document: dict[str, Any], path: str, types: set[str]) -> None:
    """They were documented as JSON."""
    assert document["paths"][path]["get"]["responses"]["200"]["content"].keys() == types


def test_a_page_may_begin_after_what_is_not_there(document: dict[str, Any]) -> None:
    assert "404" in document["paths"]["/tokenizers"]["get"]["responses"]
