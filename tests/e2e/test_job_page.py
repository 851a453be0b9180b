"""A job's page in a real Chromium: everything that may be asked of a job, asked by its buttons."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def start(page: Page) -> None:
    page.goto("/ui/jobs")
    expect(page.locator("#dataset option")).not_to_have_count(0)
    page.locator("#dataset").select_option("the-tide-clock")
    page.locator("#max-steps").fill("5000")
    page.locator("#start").click()
    page.wait_for_url("**/ui/jobs/job_*")


def test_a_job_is_paused_resumed_stopped_tried_again_and_deleted_from_its_page(page: Page) -> None:
    start(page)
    status = page.locator("#status")
    expect(status).to_have_text("running", timeout=60_000)
    expect(page.locator("#steps")).not_to_have_text("step 0 of 5,000", timeout=60_000)
    expect(page.locator("#delete")).to_be_hidden()
    page.locator("#pause").click()
    expect(status).to_have_text("paused", timeout=60_000)
    expect(page.locator("#job-notice")).to_contain_text("Paused.")
    expect(page.locator("#checkpoints tr")).to_have_count(1)

    page.locator("#priority").fill("7")
    page.locator("#priority").press("Enter")
    expect(page.locator("#events")).to_contain_text("priority 7")
    page.locator("#resume").click()
    expect(status).to_have_text("running", timeout=60_000)
    page.locator("#cancel").click()
    page.locator("#keep-model").check()
    page.locator("#cancel-yes").click()
    expect(status).to_have_text("cancelled", timeout=60_000)
    expect(page.locator("#try")).to_be_visible()

    expect(page.locator("#checkpoints-size")).to_contain_text("B")
    kept = page.locator("#checkpoints tr").count()
    page.locator("#checkpoints button").last.click()
    page.locator("#checkpoints").get_by_text("Delete it?").click()
    expect(page.locator("#checkpoints tr")).to_have_count(kept - 1)

    page.locator("#retry").click()
    expect(page.locator("#job-error")).to_contain_text("name")
    address = page.url
    page.locator("#duplicate").click()
    page.wait_for_url(lambda url: url != address)
    expect(status).not_to_have_text("cancelled")
    page.locator("#cancel").click()
    page.locator("#cancel-yes").click()
    expect(status).to_have_text("cancelled", timeout=60_000)
    page.locator("#retry").click()
    expect(status).not_to_have_text("cancelled", timeout=60_000)
    page.locator("#cancel").click()
    page.locator("#cancel-yes").click()
    expect(status).to_have_text("cancelled", timeout=60_000)
    deleted = page.url
    page.locator("#delete").click()
    page.locator("#delete-yes").click()
    page.wait_for_url("**/ui/jobs")
    page.locator("#list-status").select_option(label="failed or cancelled")
    expect(page.locator(f"#list a[href$='{address.rpartition('/')[2]}']")).to_have_count(1)
    expect(page.locator(f"#list a[href$='{deleted.rpartition('/')[2]}']")).to_have_count(0)
