"""What befalls a job's page: a second tab on the same job, and a server that ends and comes again under it."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.e2e.conftest import PATIENCE_MS, Watch, free_port, start_service
from tests.e2e.test_job_page import start

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def test_two_tabs_show_one_job_and_the_later_of_two_commands_is_refused_in_words(
    page: Page, context: BrowserContext
) -> None:
    start(page)
    other = context.new_page()
    other.goto(page.url)
    for tab in (page, other):
        expect(tab.locator("#status")).to_have_text("running")
    page.locator("#pause").click()
    for tab in (page, other):
        expect(tab.locator("#status")).to_have_text("paused")

    other.locator("#resume").click()
    for tab in (page, other):
        expect(tab.locator("#status")).to_have_text("running")
    for tab in (page, other):
        tab.locator("#cancel").click()
    page.locator("#cancel-yes").click()
    for tab in (page, other):
        expect(tab.locator("#status")).to_have_text("cancelled")
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    page.wait_for_url("**/ui/jobs")
    other.locator("#duplicate").click()
    expect(other.locator("#job-error")).to_contain_text("There is no job")


def test_a_server_that_comes_again_under_an_open_page_is_followed_on(
    chromium: Browser, tmp_path: Path, assets: Path
) -> None:
    port = str(free_port())
    service = start_service(tmp_path, port=port)
    context = chromium.new_context(base_url=service.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(service.url)
    watch.over(page)
    start(page)
    expect(page.locator("#steps")).not_to_have_text("step 0 of 5,000")
    assert service.stop() == 0, service.log.read_text()
    expect(page.locator("#job-notice")).to_contain_text("The connection is lost; trying again.")

    again = start_service(tmp_path, port=port)
    expect(page.locator("#job-notice")).not_to_contain_text("The connection is lost")
    expect(page.locator("#status")).to_have_text("running")
    seen = page.locator("#steps").inner_text()
    expect(page.locator("#steps")).not_to_have_text(seen)
    page.locator("#cancel").click()
    page.locator("#cancel-yes").click()
    expect(page.locator("#status")).to_have_text("cancelled")
    assert watch.complaints == []
    context.close()
    assert again.stop() == 0, again.log.read_text()
