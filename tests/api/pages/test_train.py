"""The page that starts jobs, as the server sends it."""

from __future__ import annotations

import re

from fastapi.testclient import TestClient

from app.api.pages.job_form import ABOUT, RECIPES
from app.llm.config import PRESETS


def test_the_form_offers_every_preset(client: TestClient) -> None:
    html = client.get("/ui/train").text
    assert all(f'value="{name}"' in html for name in PRESETS)


def test_its_steps_come_in_their_order(client: TestClient) -> None:
    html = client.get("/ui/train").text
    assert re.findall(r"<h2[^>]*>(\d\. [^<]+)</h2>", html) == [
        "1. Data", "2. What is done with it", "3. What it takes", "4. Start",
    ]  # fmt: skip
    places = [html.index(f'id="{name}"') for name in ("file", "dataset", "recipe", "max-steps", "estimate", "start")]
    assert places == sorted(places)
    assert '<details class="field" id="dataset-report" open>' in html


def test_each_recipe_and_each_field_says_what_it_is_in_a_sentence(client: TestClient) -> None:
    html = client.get("/ui/train").text
    assert list(ABOUT) == [choice.value for choice in RECIPES]
    assert all(about in html for about in ABOUT.values())
    fields = re.findall(r"<(?:input|select)[^>]* data-defaults=[^>]*>", html)
    silent = [field for field in fields if "aria-describedby" not in field and "data-item" not in field]
    assert len(fields) > 60
    assert silent == []
