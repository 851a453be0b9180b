"""What of JSON of any shape can be sent on."""

from __future__ import annotations

import json

import pytest
from pydantic_core import PydanticCustomError

from app.schemas.any_json import MAX_DEPTH, check_can_be_sent


def nested(depth: int) -> object:
    return json.loads('{"a": ' + "[" * (depth - 1) + "]" * (depth - 1) + "}")


def test_what_is_json_passes():
    check_can_be_sent("x", {"a": [1, 2.5, None, True, {"é": "\U0001f44d"}], "b": {}})
    check_can_be_sent("x", nested(MAX_DEPTH))


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (nested(MAX_DEPTH + 1), "deep"),
        ({"a": [{"b": float("nan")}]}, "NaN"),
        ({"a": float("-inf")}, "infinity"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"\udfff": 1}, "lone surrogate"),
    ],
)
def test_what_is_none_does_not(value, why):
    with pytest.raises(PydanticCustomError, match=why) as refusal:
        check_can_be_sent("x", value)
    assert refusal.value.message().startswith("x ")
