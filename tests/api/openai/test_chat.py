"""POST /v1/chat/completions as the public client asks for it."""

import json

import jsonschema
import openai
import pytest

from tests.api.openai.conftest import MODEL, small_network
from tests.fakes import ScriptedModel, scripted_runtime
from tests.serving import app_of, served

MESSAGES = [{"role": "user", "content": "Hi"}]


def test_an_answer(client):
    network = ScriptedModel("né 👍!")
    answer = client(network).chat.completions.create(
        model=MODEL,
        temperature=0,
        messages=[
            {"role": "developer", "content": "Be kind."},
            {"role": "user", "content": [{"type": "text", "text": "Hi "}, {"type": "text", "text": "you"}]},
        ],
    )
    assert (answer.object, answer.id[:8]) == ("chat.completion", "chatcmpl")
    [choice] = answer.choices
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "né 👍!", "stop")
    said = bytes(token for token in network.prompts[0] if token < 256).decode()
    assert said == "system\nBe kind.\nuser\nHi you\nassistant\n"
    assert answer.usage.prompt_tokens == len(network.prompts[0])


def test_a_stream_tells_the_same(client):
    one = client()
    chunks = list(
        one.chat.completions.create(
            model=MODEL, messages=MESSAGES, temperature=0, n=2, stream=True, stream_options={"include_usage": True}
        )
    )
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    for index in (0, 1):
        own = [chunk.choices[0] for chunk in chunks[:-1] if chunk.choices[0].index == index]
        assert own[0].delta.role == "assistant"
        assert "".join(each.delta.content or "" for each in own) == "né 👍!"
        assert [each.finish_reason for each in own] == [None] * (len(own) - 1) + ["stop"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


def test_the_clients_own_stream_helper(client):
    with client().chat.completions.stream(model=MODEL, messages=MESSAGES, temperature=0) as stream:
        assert stream.get_final_completion().choices[0].message.content == "né 👍!"


def test_logprobs(client):
    answer = client().chat.completions.create(
        model=MODEL, messages=MESSAGES, temperature=0, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    assert bytes(byte for each in content[:-1] for byte in each.bytes).decode() == "né 👍!"
    assert all(len(each.top_logprobs) == 3 for each in content)
    assert all(each.logprob == each.top_logprobs[0].logprob for each in content)


def test_without_a_limit_the_context_is_the_limit(client):
    answer = client(ScriptedModel(ending=65)).chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
    assert answer.usage.total_tokens == 512
    assert answer.choices[0].finish_reason == "length"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages.0.role"),
        ({"tools": [{"type": "function"}]}, "tools"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"max_tokens": 3, "max_completion_tokens": 3}, "max_tokens"),
        ({"max_tokens": 1000}, "max_tokens"),
        ({"max_completion_tokens": 1000}, "max_completion_tokens"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_what_is_refused_is_named(client, fields, param):
    one = client()
    with pytest.raises(openai.BadRequestError) as refusal:
        one.chat.completions.create(**{"model": MODEL, "messages": MESSAGES} | fields)
    assert refusal.value.param == param


def test_a_model_without_a_template(settings, database):
    runtime = scripted_runtime(settings, database, ScriptedModel("x"), chat_template=None)
    with (
        served(app_of(runtime)) as port,
        openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as one,
        pytest.raises(openai.BadRequestError) as refusal,
    ):
        one.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert refusal.value.code == "no_chat_template"
    runtime.models.close()


def test_a_reader_that_leaves_ends_the_work(client):
    one = client(ScriptedModel(ending=65, pass_s=0.005))
    stream = one.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    next(iter(stream))
    stream.close()  # the fixture sees that nothing runs any more


def test_a_small_network_answers_in_any_format(client, kernels):
    for dtype in ("float32", "bfloat16", "int8", "int4"):
        answer = client(small_network(), dtype=dtype).chat.completions.create(
            model=MODEL, messages=MESSAGES, temperature=0, max_tokens=4
        )
        assert answer.usage.completion_tokens <= 4


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
def test_a_finished_answer_follows_its_schema(client, schema, seed):
    answer = client(ScriptedModel(margin=0.0)).chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format=of_schema(schema), seed=seed, n=2, max_tokens=400
    )
    for choice in answer.choices:
        if choice.finish_reason == "stop":
            jsonschema.validate(json.loads(choice.message.content), schema)
    assert any(choice.finish_reason == "stop" for choice in answer.choices)


def test_any_object(client):
    answer = client(small_network()).chat.completions.create(
        model=MODEL, messages=MESSAGES, response_format={"type": "json_object"}, logit_bias={"125": 40}, max_tokens=30
    )
    assert isinstance(json.loads(answer.choices[0].message.content), dict)


def test_text_is_not_held(client):
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
        of_schema({"$ref": "#"}),
        of_schema({"anyOf": [{"$ref": "#"}]}),
        of_schema({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}),
        of_schema({"type": "string", "pattern": "("}),
        {"type": "json_schema"},
        {"type": "json_object", "json_schema": {"schema": {}}},
        {"type": "json_schema", "json_schema": {"schema": {}, "other": 1}},
        {"type": "json_schema", "json_schema": {"schema": {"description": "x" * 70_000}}},
        of_schema({"enum": json.loads("[" * 200 + "]" * 200)}),
        {"type": "yaml"},
    ],
)
def test_what_cannot_be_met_is_refused(client, response_format):
    one = client()
    with pytest.raises(openai.BadRequestError) as refusal:
        one.chat.completions.create(model=MODEL, messages=MESSAGES, response_format=response_format)
    assert refusal.value.param.startswith("response_format")
    answer = one.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0)
    assert answer.choices[0].message.content == "né 👍!"
