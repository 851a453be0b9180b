"""A newcomer's first minutes, in a real Chromium: text, a model of one's own; and no page breaks its policy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SAVED = "Stopped by you; what arrived is kept"


def wait_for_points(page: Page, least: int) -> int:
    """Points of the training curve, once there are so many. (Playwright's own waiting needs unsafe-eval.)"""
    for _ in range(600):
        points = int(page.evaluate("document.getElementById('chart').data?.[0].x.length ?? 0"))
        if points >= least:
            return points
        page.wait_for_timeout(100)
    pytest.fail(f"{points} points where {least} were awaited")


def test_generation_streams_and_shows_probabilities(page: Page) -> None:
    page.goto("/")
    page.locator("#prompt").fill("The capital of France is")
    page.locator("#temperature").fill("0")
    page.locator("#max-new-tokens").fill("12")
    expect(page.locator("#generate-command")).to_contain_text('"max_new_tokens":12')
    page.locator("#go").click()
    expect(page.locator("#output .out").nth(1)).to_be_attached()
    expect(page.locator("#generate-status")).to_contain_text("new token")
    assert "Paris" in page.locator("#output").inner_text()

    page.locator("#output .out").first.hover()
    alternatives = page.locator("#output-readout .alternatives li")
    expect(alternatives).to_have_count(5)
    assert re.search(r"probability\s*[\d.]+ %", page.locator("#output-readout").inner_text())
    page.locator("#tint").check()
    expect(page.locator("#output")).to_have_class(re.compile("tinted"))


def test_stop_keeps_what_arrived(page: Page) -> None:
    page.goto("/")
    page.locator("#max-new-tokens").fill("1500")
    page.locator("#prompt").fill("Once upon a time")
    page.locator("#temperature").fill("1.2")
    page.locator("#go").click()
    expect(page.locator("#output .out").nth(3)).to_be_attached()
    page.locator("#stop").click()
    expect(page.locator("#generate-status")).to_contain_text(SAVED)
    kept = page.locator("#output .out").count()
    page.wait_for_timeout(500)
    assert 4 <= page.locator("#output .out").count() == kept < 1500
    expect(page.locator("#go")).to_be_enabled()


def test_a_chat_message_is_answered(page: Page) -> None:
    page.goto("/")
    page.get_by_text("Ask as a chat").click()
    page.locator("#prompt").fill("Say hello.")
    page.locator("#max-new-tokens").fill("8")
    page.locator("#prompt").press("Control+Enter")
    expect(page.locator("#generate-status")).to_contain_text("new token")
    assert page.locator("#output .output__prompt").count() == 0


def test_a_refusal_is_told_in_words_at_its_field(page: Page) -> None:
    page.goto("/")
    page.locator("#temperature").fill("-1")
    page.locator("#go").click()
    expect(page.locator("#generate-error")).to_contain_text("emperature")
    expect(page.locator("#temperature")).to_have_attribute("aria-invalid", "true")
    page.locator("#temperature").fill("1")
    page.locator("#max-new-tokens").fill("100000")
    page.locator("#go").click()
    expect(page.locator("#generate-error")).to_contain_text(re.compile("8,?192"))  # the context of the default model


def test_a_model_is_trained_in_view_and_then_writes(page: Page) -> None:
    page.goto("/ui/train")
    page.locator("#dataset").select_option("the-tide-clock")
    page.locator("#preset").select_option("gpt-tiny")
    page.locator("#max-steps").fill("30")
    page.get_by_text("More settings").click()
    page.locator("#name").fill("browser-tide")
    page.locator("#eval-every").fill("5")
    page.locator("#sample-every").fill("10")
    page.locator("#checkpoint-every").fill("10")
    page.locator("#start").click()

    page.wait_for_url("**/ui/jobs/*")
    expect(page.locator("h1")).to_have_text("browser-tide")
    wait_for_points(page, 1)
    expect(page.locator("#status")).to_have_text("succeeded", timeout=120_000)
    wait_for_points(page, 2)
    losses = page.evaluate("document.getElementById('chart').data[0].y")
    assert losses[-1] < losses[0]
    assert page.evaluate("document.getElementById('chart').data[1].x.length") >= 2
    expect(page.locator("#samples li").first).to_be_visible()
    expect(page.locator("#checkpoints a").first).to_have_attribute("href", re.compile("@"))

    page.wait_for_timeout(3000)  # the last points may come after the state
    drawn = wait_for_points(page, 30)
    page.reload()
    assert wait_for_points(page, drawn) == drawn

    page.locator("#try").click()
    expect(page.locator("#model")).to_have_value("browser-tide")
    page.locator("#prompt").fill("The sea")
    page.locator("#max-new-tokens").fill("10")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text("10 new tokens")


def test_a_file_that_is_no_text_is_refused_at_the_field(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.txt"
    broken.write_bytes(b"good \xff\xfe bad")
    page.goto("/ui/train")
    page.locator("#file").set_input_files(broken)
    expect(page.locator("#file")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#file-note")).to_contain_text("5")  # the place of the first bad byte

    good = tmp_path / "my-story.txt"
    good.write_text("A small story of the sea. " * 200)
    page.locator("#file").set_input_files(good)
    expect(page.locator("#file-note")).to_contain_text("Uploaded: my-story")
    expect(page.locator("#dataset option:checked")).to_contain_text("my-story")


def test_rows_are_uploaded_looked_at_and_learnt_from(page: Page, tmp_path: Path) -> None:
    rows = tmp_path / "reviews.csv"
    rows.write_text("title,text,label\n" + '"A good one","The sea was calm.",good\n' * 60 + "too short\n")
    page.goto("/ui/train")
    page.locator("#file").set_input_files(rows)
    expect(page.locator("#file-note")).to_contain_text("60 rows of kind labelled; 1 row left out (line 62")
    expect(page.locator("#dataset option:checked")).to_contain_text("reviews.csv")
    expect(page.locator("#columns-text")).to_have_value("text")
    expect(page.locator("#columns-text option")).to_have_text(["title", "text", "label"])
    expect(page.locator("#job-command")).to_contain_text('"column":"text"')
    expect(page.locator("#dataset-report-text")).to_contain_text("59 duplicates")
    expect(page.locator("#dataset-report-text")).to_contain_text("good 60")
    page.locator("#dataset").select_option("the-tide-clock")
    expect(page.locator("#columns-text")).to_be_hidden()
    expect(page.locator("#dataset-report-text")).to_contain_text("paragraphs")


def test_a_running_job_is_cancelled_from_its_page(page: Page) -> None:
    page.goto("/ui/train")
    expect(page.locator("#dataset option")).not_to_have_count(0)
    page.locator("#dataset").select_option("the-tide-clock")
    page.locator("#max-steps").fill("5000")
    page.locator("#start").click()
    page.wait_for_url("**/ui/jobs/*")
    page.locator("#cancel").click()
    page.locator("#cancel-yes").click()
    expect(page.locator("#status")).to_have_text("cancelled")
    expect(page.locator("#cancel")).to_be_hidden()


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("address", ["/", "/ui/train", "/ui/jobs", "/ui/jobs/job_0", "/docs"])
def test_no_page_is_wider_than_the_window(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_api_page_lists_the_routes_without_a_network(page: Page) -> None:
    page.goto("/docs")
    expect(page.locator(".opblock-summary-path", has_text="/tokenize").first).to_be_visible()
    expect(page.locator(".opblock-summary-path", has_text="/jobs").first).to_be_visible()


def test_pages_say_what_they_are_without_script(chromium: Browser, service: Service) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    for address in ("/", "/ui/tokens", "/ui/attention", "/ui/train", "/ui/jobs", "/docs"):
        page.goto(address)
        notice = page.locator("noscript p")  # Playwright reads no text of a noscript itself
        expect(notice).to_be_visible()
        expect(notice).to_contain_text("JavaScript")
    context.close()
