"""What all bodies share: strict and closed on the way in, nothing defaulted on the way out."""

from __future__ import annotations

from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator
from pydantic_core import PydanticCustomError

T = TypeVar("T")


class In(BaseModel):
    """A request body: unknown fields refused, no coercion ("1" is no number), no NaN or infinity."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _one_unknown_field(cls, body: Any) -> Any:
        """Leave the first unknown field alone: a refusal tells of one, and a body may hold a million."""
        if not isinstance(body, dict):
            return body
        unknown = next((name for name in body if name not in cls.model_fields), None)
        if unknown is None:
            return body
        return {name: body[name] for name in (*cls.model_fields, unknown) if name in body}


def an_example(**body: Any) -> ConfigDict:
    """For a body's `model_config`: what /docs fills in to be tried."""
    return ConfigDict(json_schema_extra={"examples": [body]})


class Out(BaseModel):
    """A response body, from a row or a dataclass."""

    model_config = ConfigDict(from_attributes=True, ser_json_inf_nan="null")


class Page(Out, Generic[T]):
    """One page of a list; the next one starts `after` the last item."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool


def is_utf8(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        told = {"place": error.start}
        raise PydanticCustomError("no_text", "a lone surrogate at character {place} is no text", told) from None
    return text


def _has_no_nul(text: str) -> str:
    if "\0" in text:
        raise PydanticCustomError("nul", "NUL characters cannot be stored")
    return is_utf8(text)


Text = Annotated[str, AfterValidator(is_utf8)]
"""Any text that UTF-8 can hold."""

StoredText = Annotated[str, AfterValidator(_has_no_nul)]
"""Text that a database can hold, too."""
