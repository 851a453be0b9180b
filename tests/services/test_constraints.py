"""Answers held to a JSON schema: by a network that would write anything else, over OpenAI's own client."""

import json

import jsonschema
import openai
import pytest

from tests.api.openai.conftest import MODEL, client, small_network  # noqa: F401 - a fixture
from tests.fakes import ScriptedModel

MESSAGES = [{"role": "user", "content": "x"}]
TREE = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": {
            "type": "object",
            "properties": {"left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "required": ["left"],
            "additionalProperties": False,
        }
    },
}
ENDLESS = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"], "additionalProperties": False}
SCHEMAS = [
    {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3, "maximum": 9}}, "required": ["n"]},
    {"enum": ["red", "green"]},
    {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    TREE,
]


def of_schema(schema: object) -> dict[str, object]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}}


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_finished_answer_follows_its_schema(client, schema, seed):  # noqa: F811
    answer = client(ScriptedModel(margin=0.0)).chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format=of_schema(schema), seed=seed, n=2, max_tokens=400
    )
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            jsonschema.validate(json.loads(choice.message.content), schema)
    assert any(choice.finish_reason == "stop" for choice in answer.choices)


def test_any_object(client):  # noqa: F811
    answer = client(small_network()).chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "json_object"}, logit_bias={"125": 40}, max_tokens=30
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_text_is_not_held(client):  # noqa: F811
    answer = client().chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "text"}, temperature=0
    )
    assert answer.choices[0].message.content == "né 👍!"


@pytest.mark.parametrize(
    "response_format",
    [
        of_schema({"type": "nonsense"}),
        of_schema(ENDLESS),
        of_schema({"enum": []}),
        of_schema({"type": "integer", "minimum": 5, "maximum": 4}),
        of_schema({"$ref": "#/$defs/none"}),
        of_schema({"type": "string", "pattern": "("}),
        {"type": "json_schema"},
        {"type": "json_object", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"schema": {}, "other": 1}},
        {"type": "json_schema", "json_schema": {"schema": {"description": "x" * 70_000}}},
        {"type": "yaml"},
    ],
)
def test_what_cannot_be_met_is_refused(client, response_format):  # noqa: F811
    one = client()
    with pytest.raises(openai.BadRequestError) as refusal:
        one.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=response_format)
    assert refusal.value.param.startswith("response_format")
    answer = one.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
    assert answer.choices[0].message.content == "né 👍!"
