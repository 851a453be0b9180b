"""The page of tokens as the server sends it, and what it lists without JavaScript."""

from __future__ import annotations

import html
import re

import pytest
from fastapi.testclient import TestClient

from app.api.pages import tokens
from app.api.pages.render import STRICT_POLICY
from app.api.pages.tokens import FIRST_TEXT, SAMPLES
from app.config import Settings
from app.db.session import Database
from app.services.storage import Storage
from app.services.tokenizers import Tokenizers


@pytest.fixture
def client(client: TestClient, settings: Settings, database: Database, assets: object) -> TestClient:
    """The pages, with the tokenizers that come with an installation."""
    storage = Storage(settings.data_dir, settings.assets_dir)
    storage.prepare()
    client.app.state.runtime.tokenizers = Tokenizers(storage)
    return client


def listed(page: str) -> list[tuple[str, str, str, str]]:
    """Text, id, bytes and span of each token in the table."""
    row = r"<tr><td><code[^>]*>(.*?)</code></td><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td><td[^>]*>(.*?)</td></tr>"
    return [tuple(html.unescape(cell) for cell in found) for found in re.findall(row, page, re.DOTALL)]


def test_it_carries_the_defaults_of_the_service(client: TestClient, settings: Settings) -> None:
    answer = client.get("/ui/tokens")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert f'data-tokenizer="{settings.default_tokenizer}" data-max-bytes="{settings.max_text_bytes}"' in answer.text
    assert f'<option value="{settings.default_tokenizer}" selected>' in answer.text
    assert f">\n{FIRST_TEXT}</textarea>" in answer.text
    assert "&lt;|endoftext|&gt;</textarea>" in answer.text
    assert 'id="plain"' not in answer.text  # nothing is computed for who has a script


def test_samples_reach_the_page_whole(client: TestClient) -> None:
    page = client.get("/ui/tokens").text
    assert len(re.findall("data-sample=", page)) == len(SAMPLES)
    assert "👩‍🚀" in page


def test_the_navigation_leads_there_and_marks_it(client: TestClient) -> None:
    assert '<a href="/ui/tokens">Tokens</a>' in client.get("/ui/train").text
    assert '<a href="/ui/tokens" aria-current="page">Tokens</a>' in client.get("/ui/tokens").text


def test_where_tokenizers_were_before_leads_here(client: TestClient) -> None:
    answer = client.get("/ui/tokenizers?word=%26", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (301, "/ui/tokens?word=%26")


def test_without_a_script_the_tokens_are_listed(client: TestClient) -> None:
    page = client.get("/ui/tokens", params={"plain": "1", "text": "tea <b>\u05d0🙂"}).text
    tokenizer = client.app.state.runtime.tokenizers
    with client.app.state.runtime.database.read() as session:
        known = tokenizer.get(session, "gpt2").tokenize("tea <b>\u05d0🙂")
    expected = [(t.text, str(t.id), t.bytes.hex(" "), f"{t.start}–{t.end}") for t in known]
    assert listed(page) == expected
    assert f"<caption>{len(known)} tokens</caption>" in page
    assert "<b>" not in page


def test_special_tokens_are_read_where_that_is_asked(client: TestClient) -> None:
    query = {"plain": "1", "text": "a<|endoftext|>"}
    assert len(listed(client.get("/ui/tokens", params=query).text)) > 2
    page = client.get("/ui/tokens", params=query | {"specials": "parse"}).text
    assert [(text, token_id) for text, token_id, *_ in listed(page)] == [("a", "64"), ("<|endoftext|>", "50256")]
    assert 'value="parse" checked' in page


def test_of_a_long_text_the_first_are_listed(client: TestClient) -> None:
    page = client.get("/ui/tokens", params={"plain": "1", "text": "sea " * 1500}).text
    assert len(listed(page)) == tokens.LISTED
    assert "of which these are the first 1,000" in page


def test_what_is_wrong_is_said_at_its_field(client: TestClient, settings: Settings) -> None:
    answer = client.get("/ui/tokens", params={"plain": "1", "tokenizer": "<none>"})
    assert answer.status_code == 404
    assert re.search(r'id="tokenizer"[^>]* aria-invalid="true" aria-errormessage="tokenizer-refused"', answer.text)
    assert "&lt;none&gt;" in answer.text
    client.app.state.runtime.settings = settings.model_copy(update={"max_text_bytes": 5})
    answer = client.get("/ui/tokens", params={"plain": "1", "text": "too long"})
    assert answer.status_code == 413
    assert '<span class="refused" id="text-refused">8 bytes are more than' in answer.text
