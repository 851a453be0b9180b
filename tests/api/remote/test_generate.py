"""POST /generate written by a remote server: a second Inkling, and one that speaks plain OpenAI."""

from __future__ import annotations

import json
import socket
import time

import httpx
import pytest
from starlette.responses import JSONResponse, PlainTextResponse

from tests.fakes import ScriptedModel, eventually, greedy, network_of
from tests.plain_openai import USAGE, chat_chunk, models_named, text_chunk

MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
MODEL = "smollm2-135m-instruct"


def events_of(answer: httpx.Response) -> list[dict]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line and not line.startswith(":")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def without_ids(choices: list[dict]) -> list[dict]:
    """As a remote tells of them: nothing of ids, nor of what was left after the filters."""

    def poorer(token: dict) -> dict:
        return token | {"id": None, "sampled_logprob": None, "top": [poorer(each) for each in token.get("top", [])]}

    def alternative(token: dict) -> dict:
        token.pop("top")
        return token

    for choice in choices:
        choice["tokens"] = [poorer(token) for token in choice["tokens"]]
        for token in choice["tokens"]:
            token["top"] = [alternative(each) for each in token["top"]]
    return choices


@pytest.mark.parametrize("asked", [{"prompt": "Once"}, {"messages": MESSAGES}], ids=["prompt", "messages"])
def test_a_second_inkling_tells_what_it_tells_itself(front, back, asked):
    runtime, url = back(ScriptedModel("né 👍!"))
    body = {"temperature": 0, "n": 2, "top_logprobs": 2, "seed": 7, "stop": ["!"], "top_k": 50, "min_p": 0.0} | asked
    direct = httpx.post(f"{url}/generate", json=body).json()
    answer = front(url).post("/generate", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert set(told) == set(direct)
    assert told["choices"] == without_ids(direct["choices"])
    assert (told["usage"], told["seed"], told["model"]) == (direct["usage"], 7, MODEL)
    assert network_of(runtime.models.get()).prompts[0] == network_of(runtime.models.get()).prompts[-1]


@pytest.mark.parametrize("asked", [{"prompt": "Once"}, {"messages": MESSAGES}], ids=["prompt", "messages"])
def test_a_stream_tells_the_same(front, back, asked):
    _, url = back(ScriptedModel("né 👍!"))
    client, body = front(url), {"temperature": 0, "n": 2, "top_logprobs": 2} | asked
    whole = client.post("/generate", json=body).json()
    events = events_of(client.post("/generate", json=body | {"stream": True}))
    for choice in whole["choices"]:
        own = [event for event in events if event["index"] == choice["index"]]
        assert [event["token"] for event in own if "token" in event] == choice["tokens"]
        assert [event["finish_reason"] for event in own if "finish_reason" in event] == ["stop"]
        assert own[-1]["finish_reason"] == "stop"
    assert events[-1]["usage"] == whole["usage"]
    assert events[-1]["seed"] is None
    assert sum("usage" in event for event in events) == 1


def test_text_streams_as_it_is_written(front, back):
    _, url = back(ScriptedModel("abcdefgh", pass_s=0.05))
    times = []
    with front(url).stream("POST", "/generate", json=greedy(stream=True)) as answer:
        times += [time.monotonic() for line in answer.iter_lines() if line.startswith("data: {")]
    assert times[-1] - times[0] > 0.2


def test_plain_completions(front, plain, plain_url):
    """Neither ids nor log-probabilities: text in pieces, and null for all else."""
    plain.streams("/v1/completions", text_chunk("On"), text_chunk("ce\u2028"), text_chunk("", finish_reason="stop"))
    client = front(plain_url)
    told = client.post("/generate", json={"prompt": "Say"}).json()
    [choice] = told["choices"]
    piece = {"id": None, "bytes": None, "logprob": None, "sampled_logprob": None, "top": []}
    assert choice == {
        "index": 0,
        "text": "Once\u2028",
        "finish_reason": "stop",
        "tokens": [piece | {"text": "On"}, piece | {"text": "ce\u2028"}],
    }
    assert (told["usage"], told["seed"], told["model"]) == (None, None, "plain-1")
    assert plain.asked[-1].body == {
        "model": "plain-1",
        "prompt": "Say",
        "max_tokens": 256,
        "temperature": 1.0,
        "logprobs": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    last = events_of(client.post("/generate", json={"prompt": "Say", "stream": True}))[-1]
    assert set(last) == {"index", "finish_reason", "id", "model", "created", "usage", "seed"}


def test_plain_chat(front, plain, plain_url):
    logprobs = {"content": [{"token": "\ufffd", "logprob": -0.5, "bytes": [240, 159], "top_logprobs": []}]}
    plain.streams(
        "/v1/chat/completions",
        chat_chunk(""),
        chat_chunk("", logprobs=logprobs),
        chat_chunk("👍"),
        chat_chunk(None, finish_reason="content_filter"),
        USAGE,
    )
    told = front(plain_url).post("/generate", json={"messages": MESSAGES, "model": "x/y"}).json()
    [choice] = told["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("👍", "abort")
    assert [token["bytes"] for token in choice["tokens"]] == [[240, 159], None]
    assert told["usage"] == {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
    [asked] = plain.asked
    assert (asked.path, asked.body["model"], asked.body["messages"]) == ("/v1/chat/completions", "x/y", MESSAGES)
    assert (asked.body["logprobs"], "top_logprobs" in asked.body) == (True, False)


def test_the_default_model_is_ours_where_the_remote_has_it(front, plain, plain_url):
    plain.says("/v1/models", models_named("a", "default-of-ours"))
    plain.streams("/v1/completions", text_chunk("x", finish_reason="length"))
    assert front(plain_url).post("/generate", json={"prompt": "a"}).json()["model"] == "default-of-ours"


def test_a_remote_without_models(front, plain, plain_url):
    plain.says("/v1/models", models_named())
    answer = front(plain_url).post("/generate", json={"prompt": "a"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "remote_failed")


def refused(message: str, status: int, **fields: object) -> JSONResponse:
    error = {"message": message, "type": "x", "param": None, "code": None} | fields
    return JSONResponse({"error": error}, status, {"retry-after": "9"})


REFUSALS = {
    "a field": (refused("top_k is not known", 400, param="top_k"), 422, "invalid_value", "top_k is not known", None),
    "its code": (refused("too long", 400, code="context_length_exceeded"), 422, "context_length_exceeded", "too", None),
    "a number as code": (refused("no such model", 404, code=404), 404, "not_found", "no such model", None),
    "full": (refused("slow down", 429), 429, "queue_full", "slow down", 9),
    "its own shape": (JSONResponse({"detail": "teapot"}, 418), 418, "remote_refused", "teapot", None),
    "a text": (JSONResponse({"error": "no"}, 403), 403, "remote_refused", "no", None),
    "no JSON": (PlainTextResponse("<html>", 404), 404, "not_found", "it answered 404", None),
    "deep": (PlainTextResponse("[" * 5000 + "]" * 5000, 404), 404, "not_found", "it answered 404", None),
    "our key": (refused("bad key top-secret", 401), 502, "remote_failed", "INKLING_GENERATION_API_KEY", None),
    "broken": (refused("trace of ours", 500), 502, "remote_failed", "it answered 500", 5),
    "loading": (refused("is being loaded", 503), 503, "remote_unavailable", "is being loaded", 9),
    "elsewhere": (PlainTextResponse("", 302, {"location": "/x"}), 502, "remote_failed", "it answered 302", 5),
    "no stream": (JSONResponse({"choices": []}), 502, "remote_failed", "one piece", 5),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("says", "status", "code", "message", "retry"), REFUSALS.values(), ids=REFUSALS)
def test_what_the_remote_refuses_is_refused(front, plain, plain_url, says, status, code, message, retry, stream):
    plain.says("/v1/completions", says)
    answer = front(plain_url).post("/generate", json={"prompt": "a", "model": "m", "stream": stream})
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (set(error), error["code"]) == ({"message", "type", "param", "code"}, code)
    assert message in error["message"]
    assert "top-secret" not in answer.text
    assert "trace of ours" not in answer.text
    assert answer.headers.get("retry-after") == (None if retry is None else str(retry))


def test_a_refusal_names_our_field(front, back):
    _, url = back(ScriptedModel("x"))
    answer = front(url).post("/generate", json={"prompt": "a", "max_new_tokens": 5000})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "context_length_exceeded", "max_new_tokens")
    answer = front(url).post("/generate", json={"prompt": "a", "top_logprobs": 20})
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "top_logprobs")
    answer = front(url).post("/generate", json={"prompt": "a", "model": "nothing"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_what_can_be_refused_here_reaches_nobody(front, plain, plain_url):
    client = front(plain_url, max_text_bytes=100)
    for body, status in (
        ({"prompt": "a", "best_of": 3}, 422),
        ({"prompt": "a", "messages": MESSAGES}, 422),
        ({"prompt": "a" * 101}, 413),
        ({"prompt": ""}, 422),
    ):
        assert client.post("/generate", json=body).status_code == status
    assert plain.asked == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_remote_that_is_away(front, stream):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    client = front(f"http://127.0.0.1:{port}")
    for model in (None, "m"):
        fields = {"model": model} if model else {}
        answer = client.post("/generate", json={"prompt": "a", "stream": stream} | fields)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "remote_unavailable")
        assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("stream", [False, True])
def test_a_remote_that_fails_in_the_middle(front, plain, plain_url, stream):
    plain.streams("/v1/completions", text_chunk("he"), {"error": {"message": "out of memory", "code": 500}})
    answer = front(plain_url).post("/generate", json={"prompt": "a", "model": "m", "stream": stream})
    error = events_of(answer)[-1]["error"] if stream else answer.json()["error"]
    assert (error["code"], "out of memory" in error["message"]) == ("remote_failed", True)
    assert answer.status_code == (200 if stream else 502)


CODE_POINTS = {"content": [{"token": "\u2019", "logprob": -0.5, "bytes": [8217]}]}


@pytest.mark.parametrize(
    "then",
    [
        [],
        ["{no json"],
        [{"choices": "none"}],
        ["5"],
        [text_chunk("x", logprobs=CODE_POINTS)],
        ['{"error": ' + "[" * 5000 + "]" * 5000 + "}"],
        ['{"error": {"message": ' + "[" * 900 + "]" * 900 + "}}"],
    ],
    ids=lambda then: str(then)[:30],
)
@pytest.mark.parametrize("done", [False, True])
def test_an_answer_without_its_end(front, plain, plain_url, then, done):
    plain.streams("/v1/completions", text_chunk("he"), *then, done=done)
    told = events_of(front(plain_url).post("/generate", json={"prompt": "a", "model": "m", "stream": True}))
    assert told[0]["token"]["text"] == "he"
    assert told[1]["error"]["code"] == "remote_failed"


@pytest.mark.parametrize("then", [[], [USAGE], ["{no json"]], ids=str)
def test_a_text_that_has_its_end_needs_none_of_the_stream(front, plain, plain_url, then):
    """There are servers that close the connection in place of `[DONE]`."""
    plain.streams("/v1/completions", text_chunk("he"), text_chunk("y", finish_reason="stop"), *then, done=False)
    client, body = front(plain_url), {"prompt": "a", "model": "m"}
    told = client.post("/generate", json=body)
    assert told.status_code == 200, told.text
    [choice] = told.json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("hey", "stop")
    assert (told.json()["usage"] is None) == (then != [USAGE])
    *_, last = events_of(client.post("/generate", json=body | {"stream": True}))
    assert (last["token"]["text"], last["finish_reason"]) == ("y", "stop")


def test_its_time_is_over(front, plain, plain_url):
    """What has come is there, as it is with an engine of ours."""
    plain.streams_for_ever("/v1/completions", text_chunk("a"))
    client = front(plain_url, request_timeout_s=0.3)
    body = client.post("/generate", json={"prompt": "a", "model": "m", "n": 2}).json()
    assert [choice["finish_reason"] for choice in body["choices"]] == ["abort", "abort"]
    assert set(body["choices"][0]["text"]) == {"a"}
    last = events_of(client.post("/generate", json={"prompt": "a", "model": "m", "stream": True}))[-1]
    assert last["finish_reason"] == "abort"
    assert "usage" in last
    eventually(lambda: plain.hung_up == 2)


@pytest.mark.parametrize("stream", [False, True])
def test_a_remote_that_never_begins(front, plain, plain_url, stream):
    async def wait(body: object) -> JSONResponse:
        import asyncio

        await asyncio.sleep(2)
        return JSONResponse({})

    plain.says("/v1/completions", wait)
    client = front(plain_url, request_timeout_s=0.2)
    answer = client.post("/generate", json={"prompt": "a", "model": "m", "stream": stream})
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "remote_timeout")


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_ends_the_work_over_there(front, back, stream):
    runtime, url = back(ScriptedModel("x" * 500, pass_s=0.01))
    loop = runtime.models.get().loop
    client = front(url)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
        send(raw, greedy(max_new_tokens=400, n=3, stream=stream))
        eventually(lambda: loop.running == 3)
        raw.close()
        assert eventually(lambda: (loop.running, loop.waiting) == (0, 0), 1.0) < 1.0
    assert client.post("/generate", json=greedy(max_new_tokens=3)).json()["choices"][0]["text"] == "xxx"


def test_a_client_that_hangs_up_while_the_remote_thinks(front, back):
    """Before the remote's headers came there is no stream yet."""
    runtime, url = back(ScriptedModel("x" * 500, pass_s=0.01), kv_cache_tokens=450)
    loop = runtime.models.get().loop
    client = front(url)
    with (
        client.stream("POST", "/generate", json=greedy(max_new_tokens=400, stream=True)) as held,
        socket.create_connection((client.base_url.host, client.base_url.port)) as raw,
    ):
        lines = held.iter_lines()
        next(lines)
        send(raw, greedy(max_new_tokens=400, stream=False))
        eventually(lambda: loop.waiting == 1)
        raw.close()
        eventually(lambda: (loop.running, loop.waiting) == (1, 0), 1.0)


def send(client: socket.socket, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    client.sendall(head.encode() + b"\r\n\r\n" + content)


@pytest.mark.parametrize("field", [{"begin": [1]}, {"logits": True}], ids=["begin", "logits"])
def test_what_no_such_server_knows_is_refused_here(front, plain, plain_url, field):
    answer = front(plain_url).post("/generate", json={"prompt": "Say", "model": "x"} | field)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, *field)
    assert plain.asked == []
