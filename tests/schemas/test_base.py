"""What /docs fills in can be sent as it stands."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from app.config import Settings
from app.main import create_app
from app.schemas.base import In


def bodies(of: type[BaseModel] = In) -> list[type[BaseModel]]:
    return [each for sub in of.__subclasses__() for each in (sub, *bodies(sub)) if each.__module__.startswith("app.")]


def test_every_json_body_has_an_example(settings: Settings) -> None:
    described = create_app(settings).openapi()
    schemas = described["components"]["schemas"]
    asked = [
        operation["requestBody"]["content"]["application/json"]["schema"]
        for path in described["paths"].values()
        for operation in path.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    ]
    kinds = [one for schema in asked for one in schema.get("oneOf") or schema.get("anyOf") or [schema]]
    names = [kind["$ref"].rpartition("/")[2] for kind in kinds if kind != {"type": "null"}]
    assert len(names) > 10
    assert [name for name in names if not schemas[name].get("examples")] == []


@pytest.mark.parametrize("body", [each for each in bodies() if each.model_config.get("json_schema_extra")])
def test_an_example_is_taken(body: type[BaseModel]) -> None:
    (example,) = body.model_config["json_schema_extra"]["examples"]
    assert body.model_validate(example).model_fields_set == set(example)
