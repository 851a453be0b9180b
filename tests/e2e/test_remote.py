"""One Inkling in front of another, each a process of its own: text over the wire and in the playground."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.conftest import PATIENCE_MS, Service, Watch, start_service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

QUESTION = "What is the capital of France?"


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("front"), "serve", generation_backend=service.url)
    yield running
    assert running.stop() == 0, running.log.read_text()


def test_it_answers_with_the_others_model_and_loads_none(front: Service, service: Service) -> None:
    body = {"messages": [{"role": "user", "content": QUESTION}], "temperature": 0, "max_new_tokens": 30}
    told, direct = (httpx.post(f"{each.url}/generate", json=body, timeout=60).json() for each in (front, service))
    assert told["choices"][0]["text"] == direct["choices"][0]["text"] == "The capital of France is Paris."
    assert told["usage"] == direct["usage"]
    states = {model["name"]: model["state"] for model in httpx.get(f"{front.url}/models").json()["data"]}
    assert set(states.values()) == {"unloaded"}


def test_the_playground_writes_with_it(front: Service, service: Service, chromium: Browser) -> None:
    context = chromium.new_context(base_url=front.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(front.url)
    watch.over(page)
    page.goto("/")
    listed = [card["id"] for card in httpx.get(f"{service.url}/v1/models").json()["data"]]
    expect(page.locator("#model option")).to_have_text(listed)
    expect(page.locator("#model-note")).to_have_text("written by another server")
    page.locator("#prompt").fill("The capital of France is")
    page.locator("#temperature").fill("0")
    page.locator("#max-new-tokens").fill("6")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text("new tokens")
    assert " Paris" in page.locator("#output").inner_text()
    page.locator("#output .out").first.hover()
    readout = page.locator("#output-readout")
    expect(readout).to_contain_text("probability")
    expect(readout.locator(".alternatives li")).to_have_count(5)
    expect(readout.locator(".alternatives .chosen")).to_have_count(1)
    assert "id" not in readout.locator("dt").all_inner_texts()
    assert watch.complaints == []
    context.close()


def test_the_page_that_generates_says_what_another_server_does_not_do(front: Service, chromium: Browser) -> None:
    context = chromium.new_context(base_url=front.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(front.url)
    watch.over(page)
    page.goto("/ui/generate")
    expect(page.locator("#draw")).to_contain_text("Another server writes here, and its answers tell no scores")
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)
    page.locator("#temperature").fill("0")
    page.locator("#max-new-tokens").fill("6")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text("new tokens")
    page.locator("#output .out").first.hover()
    expect(page.locator("#output-readout .alternatives li")).to_have_count(5)
    expect(page.locator("#output-readout button")).to_have_count(0)  # it cannot go on from a token
    expect(page.locator("#go-on")).to_be_hidden()
    expect(page.locator("#ways-tree li")).to_have_count(1)
    page.reload()
    expect(page.locator("#output .out")).to_have_count(6)
    assert watch.complaints == []
    context.close()
