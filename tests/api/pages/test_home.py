"""The first page says what the service is set to, and its headline is true."""

from __future__ import annotations

from pathlib import Path

from fastapi.testclient import TestClient

from app.api.pages.home import HEADLINE, SAMPLE
from app.config import Settings
from app.llm.tokenizer import tiktoken_data


def test_home_carries_the_defaults_of_the_service(client: TestClient, settings: Settings) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert f'data-model="{settings.default_model}"' in answer.text


def test_home_says_whose_models_there_are_to_choose_from(client: TestClient, settings: Settings) -> None:
    assert "data-remote" not in client.get("/").text
    client.app.state.runtime.settings = settings.model_copy(update={"generation_backend": "http://127.0.0.1:1"})
    assert "data-remote" in client.get("/").text


def test_a_text_typed_here_leads_to_its_tokens(client: TestClient) -> None:
    page = client.get("/").text
    assert '<form class="row" method="get" action="/ui/tokens">' in page
    assert f'<input type="text" name="text" aria-label="Text" value="{SAMPLE}">' in page


def test_the_ids_under_the_headline_are_those_of_gpt2(assets: Path) -> None:
    sentence = " ".join(text for _, text in HEADLINE).replace(" .", ".")
    ids = tiktoken_data.load("gpt2", assets / "tiktoken").encode(sentence)
    assert ids == [token_id for token_id, _ in HEADLINE]
