"""The page that generates, for a browser without script: filled by its address, answered when posted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.api import errors, pages
from app.api.native import branches
from app.api.pages.render import STRICT_POLICY
from app.config import Settings
from app.db.session import Database
from tests.fakes import ScriptedModel, scripted_runtime

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"
RIGHT_TO_LEFT = "שלום \u202eעולם e\u0301"


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    """The page on a service whose one model writes " calm."."""
    runtime = scripted_runtime(settings.model_copy(update={"max_text_bytes": 1000}), database, ScriptedModel(" calm."))
    app = FastAPI(docs_url=None, redoc_url=None)
    errors.install(app)
    app.include_router(pages.router)
    app.include_router(branches.router)
    app.state.runtime = runtime
    with TestClient(app) as made:
        yield made
    runtime.models.close()


def text_of(html: str) -> str:
    found = re.search(r'id="output"[^>]*>(.*?)</div>', html, re.DOTALL)
    assert found
    return unescape(re.sub(r"<[^>]+>", "", found[1])).strip()


def field(html: str, name: str) -> str:
    found = re.search(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', html)
    assert found, name
    return unescape(found[1])


def refusal_of(html: str) -> str:
    found = re.search(r'id="generate-error"[^>]*>(.*?)</div>', html, re.DOTALL)
    assert found
    return unescape(found[1])


def test_it_is_filled_by_its_address(client: TestClient) -> None:
    query = {
        "mode": "chat",
        "prompt": f"{HOSTILE} {RIGHT_TO_LEFT}",
        "temperature": "1.5",
        "seed": "9",
        "model": HOSTILE,
    }
    answer = client.get("/ui/generate", params=query)
    assert (answer.status_code, answer.headers["content-security-policy"]) == (200, STRICT_POLICY)
    assert (field(answer.text, "temperature"), field(answer.text, "seed")) == ("1.5", "9")
    assert re.search(r'value="chat" checked', answer.text)
    assert HOSTILE not in answer.text
    assert RIGHT_TO_LEFT in answer.text
    assert unescape(answer.text).count(HOSTILE) == 3  # the prompt, the model's value and name


def test_its_form_posts_and_is_answered(client: TestClient) -> None:
    page = client.get("/ui/generate").text
    assert '<form class="two two--settings" id="generate-form" method="post" action="/ui/generate"' in page
    sent = {
        "mode": "prompt",
        "prompt": "The sea\r\nwas",
        "temperature": "0",
        "max_new_tokens": "20",
        "seed": "3",
        "n": "2",
    }
    answer = client.post("/ui/generate", data=sent)
    assert answer.status_code == 200
    assert text_of(answer.text) == "1The sea\nwas calm.\n2The sea\nwas calm."
    assert "The model ended the text. Seed 3." in answer.text
    assert "The model ended the text. Seed 4." in answer.text
    assert field(answer.text, "max_new_tokens") == "20"


def test_a_chat_is_answered(client: TestClient) -> None:
    sent = {"mode": "chat", "prompt": HOSTILE, "system": "Be brief.", "temperature": "0"}
    answer = client.post("/ui/generate", data=sent)
    assert text_of(answer.text) == "calm."
    assert HOSTILE not in answer.text


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        ({"prompt": "The sea", "temperature": "warm"}, 422, "temperature: Input should be a valid number"),
        ({"prompt": ""}, 422, "prompt: must not be empty"),
        ({"prompt": "a" * 1001}, 413, "prompt: 1,001 bytes are more than the 1,000 of one call"),
        ({"prompt": "a" * 500, "max_new_tokens": "100"}, 422, "are more than the 512 of the context"),
        ({"prompt": "The sea", "model": "nobody"}, 404, "there is no model 'nobody'"),
    ],
)
def test_what_the_api_refuses_is_told_in_words_and_nothing_is_lost(client, sent, status, told) -> None:
    answer = client.post("/ui/generate", data=sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=utf-8")
    assert told in refusal_of(answer.text)
    assert f"\n{sent['prompt']}</textarea>" in answer.text


def keep(client: TestClient, **fields: object) -> str:
    token = {"id": 32, "text": " <b>calm</b>", "bytes": [32], "logprob": -1.0, "sampled_logprob": -1.0, "top": []}
    body = {"model": "gone", "sampling": {"temperature": 0.3, "seed": 5, "stop": ["\n"]}, "tokens": [token]}
    answer = client.post("/branches", json=body | {"finish_reason": "broken"} | fields)
    assert answer.status_code == 201
    return answer.json()["id"]


def test_a_kept_text_has_an_address(client: TestClient) -> None:
    html = client.get("/ui/generate", params={"branch": (id_ := keep(client, prompt="The sea"))}).text
    assert f'data-branch="{id_}"' in html
    assert text_of(html) == "The sea <b>calm</b>"
    assert "The connection ended before the text did. Seed 5." in html
    assert (field(html, "temperature"), field(html, "seed"), field(html, "max_new_tokens")) == ("0.3", "5", "80")
    assert ">\\n</textarea>" in html
    assert '<option value="gone" selected>' in html
    overruled = client.get("/ui/generate", params={"branch": id_, "temperature": "2"}).text
    assert (field(overruled, "temperature"), text_of(overruled)) == ("2", "The sea <b>calm</b>")


def test_a_kept_conversation_has_its_turns(client: TestClient) -> None:
    said = [("system", "Be brief."), ("user", "Hi"), ("assistant", HOSTILE), ("user", "And now?")]
    messages = [{"role": role, "content": content} for role, content in said]
    html = client.get("/ui/generate", params={"branch": keep(client, messages=messages)}).text
    turns = re.search(r'<ol class="turns".*?</ol>', html, re.DOTALL)
    assert turns
    assert "assistant" in turns[0]
    assert HOSTILE in unescape(turns[0])
    assert HOSTILE not in html
    assert ">\nAnd now?</textarea>" in html
    assert ">Be brief.</textarea>" in html


def test_a_text_that_is_not_kept_is_told_of(client: TestClient) -> None:
    answer = client.get("/ui/generate", params={"branch": "branch_0"})
    assert answer.status_code == 404
    assert refusal_of(answer.text) == "there is no branch 'branch_0'; GET /branches lists them"
    assert 'data-branch=""' in answer.text
