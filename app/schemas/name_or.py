"""Fields of a request that take a name, or something else in its place."""

from __future__ import annotations

from typing import Any

from pydantic import GetCoreSchemaHandler, ValidatorFunctionWrapHandler
from pydantic_core import CoreSchema, core_schema

from app.schemas.base import In


class NameOr:
    """Marks a field that takes a name, or else what `other` says; a refusal speaks of `other`, in its own words.

    With `fields` it takes an object, too, and of an object a refusal speaks of those.
    """

    def __init__(self, other: Any, fields: type[In] | None = None) -> None:
        self._other, self._fields = other, fields

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        other = handler.generate_schema(self._other)
        kinds: list[CoreSchema | tuple[CoreSchema, str]] = [core_schema.str_schema(), other]
        if self._fields is not None:
            kinds.append(handler.generate_schema(self._fields))
        return core_schema.no_info_wrap_validator_function(
            self._read,
            other,
            json_schema_input_schema=core_schema.union_schema(kinds),
            serialization=core_schema.simple_ser_schema("any"),  # by what it is: a name, or the other
        )

    def _read(self, value: Any, read_other: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, str):
            return value
        if self._fields is not None and isinstance(value, dict):
            return self._fields.model_validate(value)
        return read_other(value)
