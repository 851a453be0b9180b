"""The page of one model, and of two side by side, in a real Chromium: with script and without."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

MARKUP = "<img src=x onerror=alert(1)>"
TINY = {"context_length": 64, "emb_dim": 16, "n_heads": 2, "n_layers": 1}


def done(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    """A job that has succeeded."""
    asked = client.post("/jobs", json=body)
    assert asked.status_code == 202, asked.text
    job: dict[str, Any] = asked.json()
    deadline = time.monotonic() + 180
    while job["status"] not in ("succeeded", "failed"):
        assert time.monotonic() < deadline, job
        time.sleep(0.3)
        job = client.get(f"/jobs/{job['id']}").json()
    assert job["status"] == "succeeded", job
    return job


@pytest.fixture(scope="module")
def measured(service: Service) -> tuple[str, str, dict[str, Any]]:
    """A classifier of two classes, the id of its evaluation, and what that says."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        rows = [{"text": f"{word} {number} {MARKUP}", "label": f"is-{word}"} for number in range(30) for word in "ab"]
        content = "".join(json.dumps(row) + "\n" for row in rows)
        dataset = client.post("/datasets", files={"file": ("rows.jsonl", content)}).json()["id"]
        taught = {"recipe": "classify", "dataset": dataset, "model": TINY, "tokenizer": "gpt2", "device": "cpu"}
        model = done(client, taught | {"train": {"max_steps": 4}, "name": "a-or-b"})["result"]["model"]
        asked = {"recipe": "evaluate", "model": model, "dataset": dataset, "evaluate": {"kind": "accuracy"}}
        job_id = done(client, asked)["id"]
        (report,) = client.get(f"/jobs/{job_id}/report").json()["models"]
    return model, job_id, report


def texts(page: Page) -> list[str]:
    return page.locator("#confusion tbody td").all_text_contents()


def test_a_cell_opens_its_rows_and_the_threshold_moves_live(page: Page, measured: tuple[str, str, Any]) -> None:
    model, job_id, report = measured
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/ui/models/{model}")
    cells = page.locator("#confusion .confusion__cell")
    expect(cells).to_have_count(4)
    assert texts(page) == [str(number) for row in report["confusion"] for number in row]

    slider = page.get_by_role("slider", name="Threshold of is-b")
    slider.fill("0")
    expect(cells).to_have_text(["0", "30", "0", "30"])
    expect(page.locator("#matrix-accuracy")).to_have_text("50.0 % are told right")
    expect(page.locator("#class-scores tr").last).to_have_text(re.compile("is-b50.0 %100 %66.7 %30"))
    cells.nth(1).click()
    rows = page.locator(".confusion__rows li")
    expect(rows).to_have_count(20)
    expect(rows.first).to_contain_text(f"a 0 {MARKUP}")
    expect(page.locator("#matrix img")).to_have_count(0)
    page.get_by_role("button", name="More rows").click()
    expect(rows).to_have_count(30)
    expect(page).to_have_url(re.compile(r"threshold=0&is=0&told=1$"))

    page.reload()
    expect(cells).to_have_text(["0", "30", "0", "30"])
    expect(rows).to_have_count(20)
    slider.fill("1")
    expect(cells).to_have_text(["30", "0", "30", "0"])
    expect(page.locator("#cell")).to_contain_text("No row.")
    page.get_by_role("button", name="Its own").click()
    expect(cells).to_have_text([str(number) for row in report["confusion"] for number in row])
    expect(page).to_have_url(re.compile(r"\?is=0&told=1$"))
    cells.first.focus()
    page.keyboard.press("Enter")
    expect(cells.first).to_be_focused()
    expect(cells.first).to_have_attribute("aria-pressed", "true")
    assert page.evaluate("document.documentElement.scrollWidth") == 390

    page.get_by_role("link", name="accuracy").click()
    page.wait_for_url(f"**/ui/jobs/{job_id}")
    here = page.get_by_role("region", name="Confusion matrix").locator(".confusion__cell")
    expect(here).to_have_count(4)
    page.get_by_role("slider", name="Threshold of is-b").fill("0")
    expect(here).to_have_text(["0", "30", "0", "30"])
    here.last.click()
    expect(page.locator(".confusion__rows li")).to_have_count(20)


def test_the_page_of_the_training_has_the_same_matrix(page: Page, measured: tuple[str, str, Any]) -> None:
    model, _, _ = measured
    page.goto(f"/ui/models/{model}?evaluation=training")
    expect(page.locator("#confusion .confusion__cell")).to_have_count(4)
    page.get_by_role("link", name=model, exact=True).last.click()
    page.wait_for_url("**/ui/jobs/job_*")
    cells = page.locator("#confusion .confusion__cell")
    expect(cells).to_have_count(4)
    page.get_by_role("slider", name="Threshold of is-b").fill("0")
    expect(cells.nth(0)).to_have_text("0")
    expect(cells.nth(2)).to_have_text("0")
    cells.nth(3).click()
    expect(page.locator("#report")).to_contain_text("an evaluation keeps all")


def test_a_model_goes_into_memory_and_out_and_two_are_compared(page: Page, tiny_models: list[str]) -> None:
    first, second = tiny_models
    page.goto("/ui/models")
    page.get_by_role("link", name=first, exact=True).click()
    page.wait_for_url(f"**/ui/models/{first}")
    expect(page.locator("h1")).to_have_text(first)
    page.get_by_role("button", name="Load into memory").click()
    expect(page.locator("#model-form")).to_contain_text("Take out of memory")
    expect(page.locator(".badge--loaded")).to_be_visible()
    page.get_by_role("button", name="Take out of memory").click()
    expect(page.locator(".badge--unloaded")).to_be_visible()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_role("button", name="Delete for good?")).to_be_visible()  # asked for once, it stays

    page.get_by_role("link", name="Compare").click()
    page.get_by_label("The other").select_option(second)
    page.get_by_role("button", name="Compare").click()
    page.wait_for_url(f"**/ui/compare?a={first}&b={second}")
    expect(page.locator(".sizes")).to_have_count(2)
    page.get_by_role("link", name="Write with both").click()
    expect(page.locator("#model")).to_have_value(first)
    expect(page.locator("#against")).to_have_value(second)


def test_all_of_it_is_there_without_script(
    chromium: Browser, service: Service, measured: tuple[str, str, Any], tiny_models: list[str]
) -> None:
    model, job_id, report = measured
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/models")
    page.get_by_role("link", name=model, exact=True).click()
    expect(page.locator("#matrix")).to_contain_text(job_id)
    page.locator("#confusion a").first.click()
    expect(page.locator(".confusion__rows li")).to_have_count(min(20, report["confusion"][0][0]))
    expect(page.locator("#matrix img")).to_have_count(0)
    page.goto(f"/ui/models/{tiny_models[0]}")
    page.get_by_role("button", name="Load into memory").click()
    expect(page.locator(".badge--loaded")).to_be_visible()
    page.get_by_role("button", name="Take out of memory").click()
    expect(page.locator(".badge--unloaded")).to_be_visible()
    context.close()
