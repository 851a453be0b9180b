"""What the bodies of OpenAI's clients have in common."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.schemas.base import In

UNUSED = frozenset(
    {"metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store", "user"}
)
"""Fields that are accepted and change nothing: they tell OpenAI's own service whom to bill, and what to keep."""


class OpenAIIn(In):
    """A body as OpenAI's clients send it: null is the same as left out."""

    unused: ClassVar[frozenset[str]] = UNUSED

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """As it is read: what may be left out may be null, and what is unused may be anything."""
        schema = handler(core)
        fields = handler.resolve_ref_schema(schema)["properties"]
        required = handler.resolve_ref_schema(schema).get("required", [])
        for name in fields.keys() - required:
            told = {key: value for key, value in fields[name].items() if key in ("title", "description", "default")}
            rest = {key: value for key, value in fields[name].items() if key not in told}
            kinds = rest["anyOf"] if rest.keys() == {"anyOf"} else [rest]
            fields[name] = told | {"anyOf": [*kinds, *([] if {"type": "null"} in kinds else [{"type": "null"}])]}
        fields.update({name: {"description": "Accepted, and changes nothing."} for name in sorted(cls.unused)})
        return schema

    @model_validator(mode="before")
    @classmethod
    def _known_fields_alone(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        return {name: value for name, value in body.items() if value is not None and name not in cls.unused}
