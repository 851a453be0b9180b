"""What the OpenAPI document tells of keys: the scope of each route, nothing where none is needed."""

from __future__ import annotations

from app.api import scopes
from app.config import Settings
from app.main import create_app
from tests.locked import locked


def test_each_route_tells_the_scope_that_it_needs(settings: Settings) -> None:
    document = create_app(locked(settings.data_dir)).openapi()
    scheme = document["components"]["securitySchemes"]["key"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    told = {
        f"{method.upper()} {path}": operation["security"]
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert told["GET /healthz"] == []
    assert told["POST /generate"] == [{"key": ["generate"]}]
    assert told["DELETE /models/{name}"] == [{"key": ["train"]}]
    assert told["GET /audit"] == [{"key": ["admin"]}]
    assert {one[0]["key"][0] for one in told.values() if one} == set(scopes.SCOPES)


def test_where_no_key_is_asked_for_nothing_is_told(settings: Settings) -> None:
    assert "securitySchemes" not in create_app(settings).openapi()["components"]
