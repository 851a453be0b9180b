"""POST /generate over the wire: bodies, streams, refusals in the one shape, and clients that hang up."""

import base64
import json
import math
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
from fastapi.testclient import TestClient

from app.services.runtime import Runtime
from tests.fakes import IM_END, IM_START, ScriptedModel, eventually, greedy, network_of, scripted_runtime
from tests.serving import app_of, served

NETWORK = ScriptedModel("né 👍!", margin=20.0)


@pytest.fixture
def make(settings, database):
    """A client of a service around a network; at the end nothing runs and nothing is held."""
    runtimes: list[Runtime] = []

    def make(network: ScriptedModel = NETWORK, **fields: object) -> TestClient:
        runtime = scripted_runtime(settings.model_copy(update=fields), database, network)
        runtimes.append(runtime)
        network.prompts.clear()
        return TestClient(app_of(runtime), raise_server_exceptions=False)

    yield make
    for runtime in runtimes:
        loop = runtime.models.get().loop
        eventually(lambda loop=loop: (loop.running, loop.waiting) == (0, 0), 1.0)
        loop._engine.check_integrity()
        runtime.models.close()


def events_of(answer: httpx.Response) -> list[dict]:
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n") if line and not line.startswith(":")]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def test_one_answer(make):
    answer = make().post("/generate", json=greedy(top_logprobs=1, seed=7))
    assert answer.status_code == 200
    body = answer.json()
    assert set(body) == {"id", "model", "created", "choices", "usage", "seed", "begun", "logits", "prompt_ids"}
    assert (body["model"], body["seed"], body["logits"], body["prompt_ids"]) == ("smollm2-135m-instruct", 7, None, None)
    assert abs(body["created"] - time.time()) < 60
    [choice] = body["choices"]
    assert set(choice) == {"index", "text", "finish_reason", "tokens"}
    assert (choice["text"], choice["finish_reason"]) == ("né 👍!", "stop")
    assert "".join(token["text"] for token in choice["tokens"]) == choice["text"]
    assert bytes(b for token in choice["tokens"][:-1] for b in token["bytes"]).decode() == choice["text"]
    first, last = choice["tokens"][0], choice["tokens"][-1]
    assert set(first) == {"id", "text", "bytes", "logprob", "sampled_logprob", "top"}
    assert set(first["top"][0]) == {"id", "text", "bytes", "logprob", "sampled_logprob"}
    assert (last["id"], last["text"]) == (IM_END, "")
    count = len(choice["tokens"])
    assert body["usage"] == {"prompt_tokens": 4, "completion_tokens": count, "total_tokens": 4 + count}


def test_a_stream_tells_the_same(make):
    client, body = make(), greedy(n=2, seed=7, top_logprobs=2, stop=["!"])
    whole = client.post("/generate", json=body).json()
    events = events_of(client.post("/generate", json=body | {"stream": True}))
    for choice in whole["choices"]:
        own = [event for event in events if event["index"] == choice["index"]]
        assert [event["token"] for event in own] == choice["tokens"]
        assert own[-1]["finish_reason"] == choice["finish_reason"] == "stop"
        assert all(set(event) == {"index", "token"} for event in own[:-1])
    last = events[-1]
    assert set(last) == {"index", "token", "finish_reason", "id", "model", "created", "usage", "seed"}
    assert (last["usage"], last["seed"], last["model"]) == (whole["usage"], 7, whole["model"])
    assert sum("usage" in event for event in events) == 1


def test_streamed_text_is_whole_characters(make):
    events = events_of(make().post("/generate", json=greedy(stream=True)))
    assert [event["token"]["text"] for event in events] == ["n", "", "é", " ", "", "", "", "👍", "!", ""]


def test_a_stream_is_one_event_a_token_as_they_come(settings, database):
    runtime = scripted_runtime(settings, database, ScriptedModel("abcdefgh", pass_s=0.05))
    times = []
    with (
        served(app_of(runtime)) as port,
        httpx.stream("POST", f"http://127.0.0.1:{port}/generate", json=greedy(stream=True)) as answer,
    ):
        times += [time.monotonic() for line in answer.iter_lines() if line.startswith("data: {")]
    assert len(times) == 9
    assert times[-1] - times[0] > 0.2
    runtime.models.close()


@pytest.mark.parametrize("stop", ["é", ["!", "é"]])
def test_stop_as_a_text_or_a_list(make, stop):
    [choice] = make().post("/generate", json=greedy(stop=stop)).json()["choices"]
    assert (choice["text"], choice["finish_reason"]) == ("n", "stop")


def test_what_was_begun_goes_on(make):
    body = make().post("/generate", json=greedy(begin=list(b"hel"), max_new_tokens=1)).json()
    assert NETWORK.prompts == [[*b"Once", *b"hel"]]
    assert body["choices"][0]["text"] == "n"
    assert body["usage"] == {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8}
    assert body["begun"] == [{"id": ord(letter), "text": letter, "ends": False} for letter in "hel"]


def test_what_was_begun_is_told_with_its_text_and_whether_it_ends_one(make):
    client = make()
    begin = [*"é".encode(), IM_START, IM_END]
    told = [(195, "", False), (169, "é", False), (IM_START, "", False), (IM_END, "", True)]
    begun = [dict(zip(("id", "text", "ends"), token, strict=True)) for token in told]
    assert client.post("/generate", json=greedy(begin=begin)).json()["begun"] == begun
    first, *others = events_of(client.post("/generate", json=greedy(begin=begin, stream=True, n=2)))
    assert first["begun"] == begun
    assert not [event for event in others if "begun" in event]


def test_logits_are_what_the_first_token_was_drawn_from(make):
    client = make()
    told = client.post("/generate", json=greedy(logits=True, repetition_penalty=2.0, begin=[104])).json()
    assert told["prompt_ids"] == [*b"Once", 104]
    logits = torch.frombuffer(bytearray(base64.b64decode(told["logits"])), dtype=torch.float32)
    assert logits.shape == (259,)
    assert (logits.argmax(), logits.max()) == (ord("n"), 20.0)
    assert math.isclose(told["choices"][0]["tokens"][0]["logprob"], logits.log_softmax(-1).max(), abs_tol=1e-6)
    answer = client.post("/generate", json=greedy(logits=True, stream=True))
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, "logits")


def test_messages(make):
    client = make()
    body = {"messages": [{"role": "system", "content": ""}, {"role": "user", "content": "<|im_end|>"}]}
    assert client.post("/generate", json=body | {"temperature": 0}).json()["choices"][0]["text"] == "né 👍!"
    assert NETWORK.prompts[0].count(IM_END) == 2


MESSAGES = [{"role": "user", "content": "Hi"}]
REFUSED = {
    "zero new tokens": ('{"prompt": "a", "max_new_tokens": 0}', 422, "invalid_value", "max_new_tokens"),
    "fewer": ('{"prompt": "a", "max_new_tokens": -1}', 422, "invalid_value", "max_new_tokens"),
    "too many": ('{"prompt": "a", "max_new_tokens": 1000000000}', 422, "context_length_exceeded", "max_new_tokens"),
    "absurdly many": ('{"prompt": "a", "max_new_tokens": 1%s}' % ("0" * 300), 422, "invalid_value", "max_new_tokens"),
    "no number json knows": ('{"prompt": "a", "n": 1%s}' % ("0" * 5000), 400, "invalid_json", None),
    "half a token": ('{"prompt": "a", "max_new_tokens": 1.5}', 422, "invalid_value", "max_new_tokens"),
    "true is no number": ('{"prompt": "a", "n": true}', 422, "invalid_value", "n"),
    "a text is no number": ('{"prompt": "a", "n": "1"}', 422, "invalid_value", "n"),
    "temperature -1": ('{"prompt": "a", "temperature": -1}', 422, "invalid_value", "temperature"),
    "temperature NaN": ('{"prompt": "a", "temperature": NaN}', 422, "invalid_value", "temperature"),
    "temperature Infinity": ('{"prompt": "a", "temperature": Infinity}', 422, "invalid_value", "temperature"),
    "temperature -Infinity": ('{"prompt": "a", "temperature": -Infinity}', 422, "invalid_value", "temperature"),
    "temperature 1e999": ('{"prompt": "a", "temperature": 1e999}', 422, "invalid_value", "temperature"),
    "temperature huge": ('{"prompt": "a", "temperature": 1%s}' % ("0" * 400), 422, "invalid_value", "temperature"),
    "temperature null": ('{"prompt": "a", "temperature": null}', 422, "invalid_value", "temperature"),
    "top_p 0": ('{"prompt": "a", "top_p": 0}', 422, "invalid_value", "top_p"),
    "top_p above 1": ('{"prompt": "a", "top_p": 1.0001}', 422, "invalid_value", "top_p"),
    "top_k 0": ('{"prompt": "a", "top_k": 0}', 422, "invalid_value", "top_k"),
    "min_p above 1": ('{"prompt": "a", "min_p": 1.1}', 422, "invalid_value", "min_p"),
    "no penalty": ('{"prompt": "a", "repetition_penalty": 0}', 422, "invalid_value", "repetition_penalty"),
    "negative seed": ('{"prompt": "a", "seed": -1}', 422, "invalid_value", "seed"),
    "seed too large": ('{"prompt": "a", "seed": 9223372036854775808}', 422, "invalid_value", "seed"),
    "n 0": ('{"prompt": "a", "n": 0}', 422, "invalid_value", "n"),
    "n 129": ('{"prompt": "a", "n": 129}', 422, "invalid_value", "n"),
    "n beyond the queue": ('{"prompt": "a", "n": 65}', 422, "invalid_value", "n"),
    "top_logprobs 21": ('{"prompt": "a", "top_logprobs": 21}', 422, "invalid_value", "top_logprobs"),
    "empty stop": ('{"prompt": "a", "stop": ""}', 422, "invalid_value", "stop"),
    "an empty stop among others": ('{"prompt": "a", "stop": ["x", ""]}', 422, "invalid_value", "stop"),
    "long stop": ('{"prompt": "a", "stop": "%s"}' % ("x" * 257), 422, "invalid_value", "stop"),
    "65 stops": (json.dumps({"prompt": "a", "stop": ["x"] * 65}), 422, "invalid_value", "stop"),
    "a number as stop": ('{"prompt": "a", "stop": [1]}', 422, "invalid_value", "stop"),
    "a surrogate as stop": ('{"prompt": "a", "stop": "\\ud800"}', 422, "invalid_value", "stop"),
    "a surrogate": ('{"prompt": "\\ud800"}', 422, "invalid_value", "prompt"),
    "a surrogate in a message": (
        '{"messages": [{"role": "user", "content": "\\udfff"}]}', 422, "invalid_value", "messages.0.content",
    ),
    "a surrogate as model": ('{"prompt": "a", "model": "\\ud800"}', 422, "invalid_value", "model"),
    "a surrogate as field": ('{"prompt": "a", "\\ud800": 1}', 422, "invalid_value", None),
    "empty prompt": ('{"prompt": ""}', 422, "invalid_value", "prompt"),
    "a number as prompt": ('{"prompt": 5}', 422, "invalid_value", "prompt"),
    "no messages": ('{"messages": []}', 422, "invalid_value", "messages"),
    "an unknown role": ('{"messages": [{"role": "tool", "content": ""}]}', 422, "invalid_value", "messages.0.role"),
    "a field too many in a message": (
        '{"messages": [{"role": "user", "content": "", "name": "x"}]}', 422, "unknown_field", "messages.0.name",
    ),
    "begin with no id": ('{"prompt": "a", "begin": ["a"]}', 422, "invalid_value", "begin"),
    "begin with a text": ('{"prompt": "a", "begin": "a"}', 422, "invalid_value", "begin"),
    "begin with an id too high": ('{"prompt": "a", "begin": [1, 259]}', 422, "token_out_of_range", "begin.1"),
    "begin with a negative id": ('{"prompt": "a", "begin": [-1]}', 422, "token_out_of_range", "begin.0"),
    "a long begin": (json.dumps({"prompt": "a", "begin": [1] * 512}), 422, "context_length_exceeded", "prompt"),
    "logits of two": ('{"prompt": "a", "logits": true, "n": 2}', 422, "invalid_value", "logits"),
    "both": (json.dumps({"prompt": "a", "messages": MESSAGES}), 422, "invalid_value", "messages"),
    "neither": ("{}", 422, "invalid_value", "prompt"),
    "unknown model": ('{"prompt": "a", "model": "nothing"}', 404, "model_not_found", "model"),
    "unknown checkpoint": ('{"prompt": "a", "model": "job_1@5"}', 404, "checkpoint_not_found", "model"),
    "unknown field": ('{"prompt": "a", "best_of": 3}', 422, "unknown_field", "best_of"),
    "context": (json.dumps({"prompt": "a" * 600}), 422, "context_length_exceeded", "prompt"),
    "no json": ('{"prompt": ', 400, "invalid_json", None),
    "a list": ("[]", 422, "invalid_value", None),
    "nothing": ("", 422, "missing_field", None),
    "too deep": ("[" * 100_000, 400, "invalid_json", None),
}  # fmt: skip


@pytest.fixture(scope="module")
def refusing(tmp_path_factory) -> Iterator[tuple[TestClient, Runtime]]:
    from app.config import Settings
    from app.db.migrate import migrate
    from app.db.session import Database

    settings = Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("data"), database_url="", broker_url="")
    database = Database(settings.effective_database_url)
    migrate(database)
    limited = settings.model_copy(update={"max_queued_requests": 64})
    runtime = scripted_runtime(limited, database, ScriptedModel("x" * 100))
    with TestClient(app_of(runtime), raise_server_exceptions=False) as client:
        yield client, runtime
    runtime.models.close()
    database.dispose()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("body", "status", "code", "param"), REFUSED.values(), ids=REFUSED)
def test_refused_in_the_one_shape_with_nothing_run(refusing, body, status, code, param, stream):
    """A stream that is asked for is refused in the same way: before it opens."""
    client, runtime = refusing
    content = body.replace('{"', '{"stream": true, "', 1) if stream and body.startswith('{"') else body
    answer = client.post("/generate", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert 0 < len(error["message"]) < 1000
    model = runtime.models.get()
    assert network_of(model).prompts == []
    assert (model.loop.running, model.loop.waiting) == (0, 0)


def test_the_server_still_serves_after_all_that(refusing):
    client, runtime = refusing
    assert client.post("/generate", json=greedy(max_new_tokens=3)).json()["choices"][0]["text"] == "xxx"
    network_of(runtime.models.get()).prompts.clear()


def test_ten_megabytes_are_too_large(make):
    client = make()
    answer = client.post("/generate", json={"prompt": "a" * 10_000_000})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    answer = client.post("/generate", json={"prompt": "a" * (1024 * 1024 + 1)})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_a_full_queue_says_when_to_come_back(make):
    client = make(ScriptedModel("x" * 400, pass_s=0.002), max_queued_requests=1, kv_cache_tokens=300)
    loop = client.app.state.runtime.models.get().loop
    threads = []
    for held in (1, 2):
        fields = {"json": greedy(max_new_tokens=290)}
        threads.append(threading.Thread(target=client.post, args=("/generate",), kwargs=fields))
        threads[-1].start()
        eventually(lambda held=held: loop.running + loop.waiting == held)
        eventually(lambda: loop.running == 1)
    answer = client.post("/generate", json=greedy(max_new_tokens=290))
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "queue_full")
    assert int(answer.headers["retry-after"]) >= 1
    for thread in threads:
        thread.join()


def test_a_model_that_takes_too_long_to_load(settings, database):
    may_read = threading.Event()

    def slow(place, tell) -> ScriptedModel:
        may_read.wait(10)
        return NETWORK

    runtime = scripted_runtime(settings.model_copy(update={"model_wait_s": 0.05}), database, slow)
    client = TestClient(app_of(runtime))
    answer = client.post("/generate", json=greedy())
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
    assert int(answer.headers["retry-after"]) >= 1
    may_read.set()
    eventually(lambda: client.post("/generate", json=greedy()).status_code == 200)
    runtime.models.close()


def test_an_engine_that_breaks_in_mid_stream(make):
    def fail(number: int) -> None:
        if number == 2:
            raise OSError("/secret/path")

    client = make(ScriptedModel("hello", before_pass=fail))
    [first, second, error] = events_of(client.post("/generate", json=greedy(stream=True)))
    assert first["token"]["text"] + second["token"]["text"] == "he"
    assert error["error"]["code"] == "generation_failed"
    answer = client.post("/generate", json=greedy())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "generation_failed")
    assert "secret" not in answer.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_hangs_up_ends_the_work(settings, database, stream, how):
    """A real server, a raw socket: within a second nothing runs any more, while another client's text goes on."""
    runtime = scripted_runtime(settings, database, ScriptedModel("x" * 500, pass_s=0.01))
    loop = runtime.models.get().loop
    with served(app_of(runtime)) as port, socket.create_connection(("127.0.0.1", port)) as client:
        send(client, greedy(max_new_tokens=400, n=3, stream=stream))
        eventually(lambda: loop.running == 3)
        if stream:
            assert b"200 OK" in client.recv(65536)
        if how == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert eventually(lambda: (loop.running, loop.waiting) == (0, 0), 1.0) < 1.0
        answer = httpx.post(f"http://127.0.0.1:{port}/generate", json=greedy(max_new_tokens=3))
        assert answer.json()["choices"][0]["text"] == "xxx"
    loop._engine.check_integrity()
    runtime.models.close()


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_before_its_turn(settings, database, stream):
    """One that waits in the queue, and one whose model is still being loaded."""
    may_read = threading.Event()

    def slow(place, tell) -> ScriptedModel:
        may_read.wait(10)
        return ScriptedModel("x" * 500, pass_s=0.01)

    runtime = scripted_runtime(settings.model_copy(update={"kv_cache_tokens": 450}), database, slow)
    with served(app_of(runtime)) as port:
        with socket.create_connection(("127.0.0.1", port)) as early:
            send(early, greedy(max_new_tokens=400, stream=stream))
            time.sleep(0.1)
        may_read.set()
        loop = runtime.models.get().loop
        with socket.create_connection(("127.0.0.1", port)) as first:
            send(first, greedy(max_new_tokens=400, stream=True))
            eventually(lambda: (loop.running, loop.waiting) == (1, 0))
            with socket.create_connection(("127.0.0.1", port)) as second:
                send(second, greedy(max_new_tokens=400, stream=stream))
                eventually(lambda: loop.waiting == 1)
            eventually(lambda: (loop.running, loop.waiting) == (1, 0), 1.0)
        eventually(lambda: (loop.running, loop.waiting) == (0, 0), 1.0)
    runtime.models.close()


def send(client: socket.socket, body: dict[str, object]) -> None:
    content = json.dumps(body).encode()
    head = f"POST /generate HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: {len(content)}"
    client.sendall(head.encode() + b"\r\n\r\n" + content)


def test_the_model_that_ships(assets: Path, settings, database):
    """SmolLM2 through the whole line: greedy text, a chat, a stop string, a seed that repeats itself."""
    runtime = Runtime.open(settings.model_copy(update={"assets_dir": assets}))
    client = TestClient(app_of(runtime))

    def ask(**body: object) -> dict:
        answer = client.post("/generate", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    question = {"role": "user", "content": "What is the capital of France?"}
    chat = ask(messages=[question], temperature=0, max_new_tokens=30)
    assert chat["choices"][0]["text"] == "The capital of France is Paris."
    assert chat["choices"][0]["finish_reason"] == "stop"
    stopped = ask(messages=[question], temperature=0, stop="Paris")["choices"][0]
    assert (stopped["text"], stopped["finish_reason"]) == ("The capital of France is ", "stop")
    drawn = ask(prompt="Once upon a time", max_new_tokens=8, top_k=50)
    again = ask(prompt="Once upon a time", max_new_tokens=8, top_k=50, seed=drawn["seed"])
    assert again["choices"] == drawn["choices"]
    refused = client.post("/generate", json={"prompt": "a", "max_new_tokens": 8192})
    assert refused.json()["error"]["code"] == "context_length_exceeded"
    assert "8192" in refused.json()["error"]["message"]
    runtime.close()


def test_a_generation_ends_when_its_time_is_over(make):
    client = make(ScriptedModel(ending=65, pass_s=0.01), request_timeout_s=0.3)
    started = time.monotonic()
    body = client.post("/generate", json=greedy(n=2)).json()
    assert time.monotonic() - started < 3
    assert [choice["finish_reason"] for choice in body["choices"]] == ["abort", "abort"]
    assert all(choice["text"] for choice in body["choices"])
