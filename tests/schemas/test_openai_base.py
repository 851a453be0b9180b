"""Bodies of OpenAI's clients: the document says what is read."""

from __future__ import annotations

import jsonschema
import pytest

from app.schemas.openai import CompletionIn


@pytest.mark.parametrize(
    ("fields", "is_read"),
    [
        ({"echo": None, "max_tokens": None, "stop": None}, True),
        ({"user": 7, "store": {"a": []}}, True),
        ({"prompt": None}, False),
        ({"echo": "yes"}, False),
        ({"colour": 1}, False),
    ],
)
def test_null_is_the_same_as_left_out_and_the_document_says_so(fields: dict[str, object], is_read: bool) -> None:
    body = {"model": "m", "prompt": "p"} | fields
    validator = jsonschema.Draft202012Validator(CompletionIn.model_json_schema())
    assert validator.is_valid(body) == is_read
    if is_read:
        assert CompletionIn.model_validate(body) == CompletionIn(model="m", prompt="p")
    else:
        with pytest.raises(ValueError, match="validation error"):
            CompletionIn.model_validate(body)
