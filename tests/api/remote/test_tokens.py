"""vLLM's token routes of a remote server; our own /tokenize stays here."""

from __future__ import annotations

import httpx

from tests.fakes import ScriptedModel


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
