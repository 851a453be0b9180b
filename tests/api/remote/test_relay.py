"""/v1 of a remote server, through OpenAI's own client: a second Inkling, and one that speaks plain OpenAI."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from operator import attrgetter

import httpx
import openai
import pytest
from starlette.responses import JSONResponse

from tests.api.openai.conftest import small_network
from tests.fakes import ScriptedModel, eventually
from tests.plain_openai import USAGE, chat_chunk, text_chunk

MODEL = "smollm2-135m-instruct"
MESSAGES = [{"role": "developer", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}]


@pytest.fixture
def client(front) -> Iterator[Callable[..., openai.OpenAI]]:
    """Makes OpenAI's client of a service whose backend is at an address."""
    made: list[openai.OpenAI] = []

    def make(url: str, **fields: object) -> openai.OpenAI:
        address = front(url, **fields).base_url.join("/v1")
        made.append(openai.OpenAI(base_url=str(address), api_key="of-our-client", max_retries=0))
        return made[-1]

    yield make
    for one in made:
        one.close()


def of(client: openai.OpenAI, url: str) -> openai.OpenAI:
    """The same client of the server behind it."""
    return client.with_options(base_url=f"{url}/v1")


TEXT = {"model": MODEL, "prompt": ["One", "Two!"], "n": 2, "temperature": 0, "logprobs": 2, "echo": True, "seed": 3}
CHAT = {"model": MODEL, "messages": MESSAGES, "temperature": 0, "logprobs": True, "top_logprobs": 2}


def same(told: object, direct: object) -> bool:
    return {**told.model_dump(), "id": "", "created": 0} == {**direct.model_dump(), "id": "", "created": 0}


def test_a_second_inkling_tells_what_it_tells_itself(client, back):
    _, url = back(ScriptedModel("né 👍!"))
    one = client(url)
    assert same(one.completions.create(**TEXT), of(one, url).completions.create(**TEXT))
    assert same(one.chat.completions.create(**CHAT), of(one, url).chat.completions.create(**CHAT))


def test_its_streams_are_chunk_for_chunk_the_same(client, back):
    _, url = back(ScriptedModel("né 👍!"))
    one, asked = client(url), {"stream": True, "stream_options": {"include_usage": True}}
    for kind, body in (("completions", TEXT), ("chat.completions", CHAT)):
        told, direct = (list(attrgetter(kind)(each).create(**body, **asked)) for each in (one, of(one, url)))
        assert len(told) == len(direct)
        assert all(same(*pair) for pair in zip(told, direct, strict=True))
        assert told[-1].usage.completion_tokens > 0


def test_a_schema_holds_over_there(client, back):
    _, url = back(ScriptedModel(margin=0.0))
    schema = {"enum": ["red", "green"]}
    answer = client(url).chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        response_format={"type": "json_schema", "json_schema": {"name": "colour", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content) in ("red", "green")


def test_vectors(client, back):
    _, url = back(small_network())
    one = client(url)
    for texts in ("one", ["one", "two"]):
        told = one.embeddings.create(model=MODEL, input=texts)
        assert same_vectors(told, of(one, url).embeddings.create(model=MODEL, input=texts))


def same_vectors(told: object, direct: object) -> bool:
    return (told.usage, [each.embedding for each in told.data]) == (
        direct.usage,
        [each.embedding for each in direct.data],
    )


def test_what_was_said_and_nothing_more(client, plain, plain_url):
    """Plain servers know no lists of one, and none of the fields that were left out."""
    plain.says("/v1/completions", JSONResponse({"id": "1", "choices": [], "extra": 1}))
    plain.says("/v1/chat/completions", JSONResponse({"id": "2", "choices": [], "system_fingerprint": "f"}))
    one = client(plain_url, generation_api_key="top-secret")
    assert one.completions.create(model="m", prompt="Hi", user="me").extra == 1
    assert one.chat.completions.create(model="m", messages=MESSAGES, top_p=0.5).system_fingerprint == "f"
    one.completions.create(model="m", prompt=[[1, 2]], stop="x", extra_body={"top_k": 4})
    first, second, third = plain.asked
    assert first.body == {"model": "m", "prompt": "Hi"}
    assert second.body == {"model": "m", "messages": MESSAGES, "top_p": 0.5}
    assert third.body == {"model": "m", "prompt": [1, 2], "stop": ["x"], "top_k": 4}
    assert {asked.headers["authorization"] for asked in plain.asked} == {"Bearer top-secret"}
    assert "of-our-client" not in str(plain.asked)


def test_without_a_key_none_is_sent(client, plain, plain_url):
    plain.says("/v1/completions", JSONResponse({"id": "1", "choices": []}))
    client(plain_url).completions.create(model="m", prompt="Hi")
    assert "authorization" not in plain.asked[0].headers


def test_a_plain_stream(client, plain, plain_url):
    plain.streams("/v1/chat/completions", chat_chunk("a\u2028"), chat_chunk(None, finish_reason="stop"), USAGE)
    chunks = list(client(plain_url).chat.completions.create(model="m", messages=MESSAGES, stream=True))
    assert [chunk.choices[0].delta.content for chunk in chunks[:2]] == ["a\u2028", None]
    assert chunks[2].usage.total_tokens == 8


@pytest.mark.parametrize("stream", [False, True])
def test_refusals(client, plain, plain_url, stream):
    one = client(plain_url)
    body = {"error": {"message": "min_p is not known", "type": "x", "param": "min_p", "code": "unknown_field"}}
    plain.says("/v1/completions", JSONResponse(body, 400))
    with pytest.raises(openai.BadRequestError) as refusal:
        one.completions.create(model="m", prompt="a", stream=stream, extra_body={"min_p": 0.1})
    assert (refusal.value.param, refusal.value.code) == ("min_p", "unknown_field")
    plain.says("/v1/completions", JSONResponse({"error": {"message": "no"}}, 500))
    with pytest.raises(openai.InternalServerError) as failure:
        one.completions.create(model="m", prompt="a", stream=stream)
    assert (failure.value.status_code, failure.value.code) == (502, "remote_failed")
    assert int(failure.value.response.headers["retry-after"]) > 0
    plain.says("/v1/completions", JSONResponse({"error": {"message": "no"}}, 401))
    with pytest.raises(openai.InternalServerError) as failure:
        one.completions.create(model="m", prompt="a", stream=stream)
    assert failure.value.response.headers["x-should-retry"] == "false"


def test_a_refusal_in_the_middle_of_a_stream(client, plain, plain_url):
    plain.streams("/v1/completions", text_chunk("he"), {"error": {"message": "out of memory"}})
    stream = client(plain_url).completions.create(model="m", prompt="a", stream=True)
    assert next(stream).choices[0].text == "he"
    with pytest.raises(openai.APIError, match="out of memory"):
        next(stream)


def test_a_stream_that_breaks_off(client, plain, plain_url):
    plain.streams("/v1/completions", text_chunk("he"), done=False)
    with pytest.raises(openai.APIError, match="before the text had an end"):
        list(client(plain_url).completions.create(model="m", prompt="a", stream=True))


def test_an_answer_that_is_none(client, plain, plain_url):
    plain.says("/v1/completions", JSONResponse([1]))
    with pytest.raises(openai.InternalServerError, match="no JSON object"):
        client(plain_url).completions.create(model="m", prompt="a")


def test_a_stream_whose_time_is_over(client, plain, plain_url):
    plain.streams_for_ever("/v1/completions", text_chunk("a"))
    with pytest.raises(openai.APIError, match=r"within 0\.3 s"):
        list(client(plain_url, request_timeout_s=0.3).completions.create(model="m", prompt="a", stream=True))
    eventually(lambda: plain.hung_up == 1)


def test_too_much_text_and_unknown_fields_reach_nobody(client, plain, plain_url):
    one = client(plain_url, max_text_bytes=10)
    for fields in ({"prompt": "a" * 11}, {"prompt": "a", "suffix": "x"}, {"prompt": "a", "max_tokens": -1}):
        with pytest.raises(openai.APIStatusError):
            one.completions.create(model="m", **fields)
    with pytest.raises(openai.APIStatusError):
        one.chat.completions.create(model="m", messages=[{"role": "user", "content": "a" * 11}])
    with pytest.raises(openai.APIStatusError):
        one.embeddings.create(model="m", input="a" * 11)
    assert plain.asked == []


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        (r'{"description": "\ud800"}', "lone surrogate"),
        (r'{"properties": {"\udfff": {}}}', "lone surrogate"),
        ('{"maximum": NaN}', "NaN or an infinity"),
        ('{"maximum": 1e999}', "NaN or an infinity"),
        ('{"enum": ' + "[" * 250 + "]" * 250 + "}", "200 deep"),
    ],
)
def test_a_schema_that_no_json_can_carry_reaches_nobody(front, plain, plain_url, schema, why):
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": "HERE"}}
    body = json.dumps({"model": "m", "messages": MESSAGES, "response_format": form}).replace('"HERE"', schema)
    headers = {"content-type": "application/json"}
    answer = front(plain_url).post("/v1/chat/completions", content=body, headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_value", "response_format")
    assert why in error["message"]
    assert plain.asked == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_reader_that_leaves_ends_the_work_over_there(front, back, stream):
    runtime, url = back(ScriptedModel("x" * 500, pass_s=0.01))
    loop = runtime.models.get().loop
    body = {"model": MODEL, "prompt": "a", "max_tokens": 400, "temperature": 0, "stream": stream}
    with (
        pytest.raises(httpx.ReadTimeout),
        httpx.Client(base_url=front(url).base_url, timeout=httpx.Timeout(5, read=0.5 if not stream else 0.001)) as one,
    ):
        one.post("/v1/completions", json=body)
    eventually(lambda: (loop.running, loop.waiting) == (0, 0), 1.0)
