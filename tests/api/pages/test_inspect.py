"""The glass box's page carries what its script needs; its stages are the API's."""

from __future__ import annotations

from typing import get_args

from fastapi.testclient import TestClient

from app.api.pages.inspect import STAGES
from app.api.pages.render import STRICT_POLICY
from app.config import Settings
from app.schemas.inspect import Want


def test_it_carries_the_default_model_and_the_strict_policy(client: TestClient, settings: Settings) -> None:
    answer = client.get("/ui/inspect")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert f'data-model="{settings.default_model}"' in answer.text
    assert '<a href="/ui/inspect" aria-current="page">' in answer.text


def test_its_stages_are_things_to_want(client: TestClient) -> None:
    html = client.get("/ui/inspect").text
    for name, label, about in STAGES:
        assert name in get_args(Want)
        assert f'value="{name}" data-about="{about}"' in html
        assert label in html
    assert html.count('name="stage"') == len(STAGES)
