"""The page of tokenizers, as the server sends it."""

from __future__ import annotations

from fastapi.testclient import TestClient

from app.config import Settings


def test_the_page_begins_with_the_default_tokenizer(client: TestClient, settings: Settings) -> None:
    answer = client.get("/ui/tokenizers")
    assert answer.status_code == 200
    assert f'data-tokenizer="{settings.default_tokenizer}"' in answer.text
    assert "&lt;|endoftext|&gt;</textarea>" in answer.text


def test_the_navigation_leads_there_and_marks_it(client: TestClient) -> None:
    assert '<a href="/ui/tokenizers">Tokenizers</a>' in client.get("/ui/jobs").text
    assert '<a href="/ui/tokenizers" aria-current="page">Tokenizers</a>' in client.get("/ui/tokenizers").text
