"""JSON of any shape within a body: what of it can be sent on to another server."""

from __future__ import annotations

import json
from typing import Any

from pydantic_core import PydanticCustomError

MAX_DEPTH = 200
"""Objects and lists within each other; of more than 250 pydantic makes no body."""


def check_can_be_sent(name: str, value: dict[str, Any]) -> None:
    """Pass what is JSON to the letter; Python reads NaN, and surrogates that belong to no pair, as if they were."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        inner = [each.values() if isinstance(each, dict) else each for each in level]
        level = [each for values in inner for each in values if isinstance(each, dict | list)]
    if level:
        raise PydanticCustomError(
            "too_deep", "{name} is nested more than {most} deep", {"name": name, "most": MAX_DEPTH}
        )
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("no_text", "{name} has a lone surrogate, which is no text", {"name": name}) from None
    except ValueError:
        told = {"name": name}
        raise PydanticCustomError("no_number", "{name} has NaN or an infinity, which JSON has not", told) from None
