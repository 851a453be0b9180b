"""A newcomer's whole way in a real Chromium: from `inkling up` in an empty folder to a model of their own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PATIENCE_MS, Service, Watch, start_service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SENTENCE = "The tide comes in twice a day."
JOB_MS = 240_000  # for what a worker has to do, on a busy machine
STORY = "The tide comes in. The tide goes out. Twice a day the old clock tells the hour of the sea.\n\n"
ENDED = re.compile("Stopped at the number of tokens|The model ended the text")


@pytest.fixture
def fresh(tmp_path: Path, assets: Path) -> Iterator[Service]:
    """A service that nobody has used yet."""
    running = start_service(tmp_path)
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture
def page(chromium: Browser, fresh: Service) -> Iterator[Page]:
    context = chromium.new_context(base_url=fresh.url, viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    made, watch = context.new_page(), Watch(fresh.url)
    watch.over(made)
    yield made
    watch.complaints += [f"policy: {broken}" for broken in made.evaluate("window.violations ?? []")]
    context.close()
    assert watch.complaints == []


def go_to(page: Page, name: str) -> None:
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()
    expect(page.get_by_role("navigation", name="Main").locator("[aria-current]")).to_have_text(name)


@pytest.mark.timeout(600)  # of a machine that does much else meanwhile
def test_from_a_sentence_to_a_model_of_ones_own(page: Page, tmp_path: Path) -> None:
    page.goto("/")
    page.get_by_role("textbox", name="Text", exact=True).fill(SENTENCE)
    page.get_by_role("button", name="See its tokens").click()
    expect(page.locator("#count-tokens")).to_have_text("8")
    expect(page.locator("#token-list .token")).to_have_count(8)

    go_to(page, "Generate")
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)  # the page's last part is there
    page.locator("#prompt").fill(SENTENCE)
    page.locator("#max-new-tokens").fill("6")
    page.locator("#seed").fill("7")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text(ENDED)
    expect(page.locator("#output .out")).to_have_count(6)
    page.locator("#output .out").nth(2).click()
    page.locator("#output-readout button.alternative").first.click()
    expect(page.locator("#ways-tree li li")).to_have_count(1)
    expect(page.locator("#generate-status")).to_contain_text(ENDED)

    go_to(page, "Attention")
    expect(page.locator("#attention-status")).to_contain_text("30 layers of 9 heads")
    page.locator("#text").fill(SENTENCE)
    page.locator("#go").click()
    expect(page.locator("#attention-status")).to_contain_text("8 tokens · 30 layers of 9 heads")
    expect(page.locator("#next-tokens li")).to_have_count(20)

    train(page, tmp_path)
    watch_it_learn(page)
    scrub(page)

    page.locator("#try").click()
    expect(page.locator("#model")).to_have_value("tides")
    page.locator("#prompt").fill("The tide")
    page.locator("#max-new-tokens").fill("5")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text("5 new tokens")


def train(page: Page, tmp_path: Path) -> None:
    """From a file to a running job."""
    go_to(page, "Train")
    expect(page.locator("#dataset-report-text")).to_contain_text("paragraphs")  # the form is there
    file = tmp_path / "tides.txt"
    file.write_text(STORY * 60)
    page.locator("#file").set_input_files(file)
    expect(page.locator("#file-note")).to_contain_text("Uploaded: tides.txt")
    expect(page.locator("#dataset option:checked")).to_contain_text("tides.txt")
    expect(page.locator("#dataset-report-text")).to_contain_text("60 paragraphs")
    expect(page.locator("#dataset-report-text")).to_contain_text("59 duplicates")
    page.locator("#max-steps").fill("6")
    page.get_by_text("More settings").click()
    fields = {"name": "tides", "batch-size": 2, "context-length": 32, "learning-rate": 0.003}
    fields |= {"sample-every": 2, "checkpoint-every": 2, "keep-checkpoints": 3, "sample-prompt": "The tide"}
    for name, value in fields.items():
        page.locator(f"#{name}").fill(str(value))
    for name in ("job", "python", "inkling"):
        expect(page.locator(f"#{name}-command")).to_contain_text("checkpoint_every")
    page.locator("#start").click()
    page.wait_for_url("**/ui/jobs/job_*")
    expect(page.locator("h1")).to_have_text("tides")


def watch_it_learn(page: Page) -> None:
    expect(page.locator("#status")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator("#samples li")).to_have_count(3)
    expect(page.locator("#checkpoints tr")).to_have_count(3)
    expect(page.locator("#chart .scatterlayer .trace").first).to_be_attached()


def scrub(page: Page) -> None:
    """Drag back to the first checkpoint, and to the last one again."""
    slider, following = page.locator("#scrub-range"), page.locator("#next-tokens .word")
    expect(page.locator("#scrub-marks option")).to_have_count(3)
    slider.press("Home")
    expect(slider).to_have_attribute("aria-valuetext", "step 2 of 6, checkpoint 1 of 3")
    expect(page.locator("#matrix")).to_have_attribute("aria-label", re.compile("2 tokens by 2"))
    expect(page.locator(".is-old")).to_have_count(0)
    expect(following).to_have_count(8)
    first = page.locator("#next-tokens").inner_text()
    slider.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "step 6 of 6, checkpoint 3 of 3")
    expect(page.locator("#next-tokens")).not_to_have_text(first, use_inner_text=True)
    expect(page.locator(".is-old")).to_have_count(0)
    expect(page.locator("#scrub-text")).to_contain_text("The tide")
