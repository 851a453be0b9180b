"""vLLM's token routes of a remote server; our own /tokenize stays here."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from starlette.responses import JSONResponse

from tests.fakes import ScriptedModel, eventually


def test_they_are_those_of_the_remotes_tokenizer(front, back):
    _, url = back(ScriptedModel())
    client = front(url)
    for method, path, body in (
        ("POST", "/tokenize", {"prompt": "Hi é", "return_token_strs": True}),
        ("POST", "/tokenize", {"messages": [{"role": "user", "content": "Hi"}]}),
        ("POST", "/detokenize", {"tokens": [72, 105]}),
        ("GET", "/tokenizer_info", None),
    ):
        told = client.request(method, path, json=body)
        assert told.status_code == 200, told.text
        assert told.json() == httpx.request(method, f"{url}{path}", json=body).json()


def test_a_remote_that_has_none(front, plain, plain_url):
    answer = front(plain_url).get("/tokenizer_info")
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "Not Found")
    assert plain.asked[0].path == "/tokenizer_info"


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_too_much_text_reaches_nobody(front, plain, plain_url, kind):
    client = front(plain_url, max_text_bytes=10)
    for field, value in (("prompt", "a" * 11), ("messages", [{"role": "user", "content": "a" * 11}])):
        answer = client.post("/tokenize", json={field: value}, headers={"content-type": kind})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["param"]) == (413, "too_large", field)
    assert plain.asked == []


def test_a_client_that_hangs_up_ends_the_request(plain, plain_url, front):
    """`front`, which goes first, sees to it that nothing is under way, long before this answer."""

    async def slow(body: object) -> JSONResponse:
        await asyncio.sleep(5)
        return JSONResponse({})

    plain.says("/tokenize", slow)
    client = front(plain_url)
    with socket.create_connection((client.base_url.host, client.base_url.port)) as raw:
        head = b"POST /tokenize HTTP/1.1\r\nHost: [::1]\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n"
        raw.sendall(head + b'{"prompt": "a"}')
        eventually(lambda: len(plain.asked) == 1)
