"""A job's page in a real Chromium: everything that may be asked of a job, asked by its buttons."""

from __future__ import annotations

import time

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def start(page: Page) -> None:
    page.goto("/ui/train")
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


def a_finished_job(service: Service) -> str:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        body = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": {"preset": "gpt-tiny"}}
        body |= {"train": {"max_steps": 1, "batch_size": 2, "context_length": 32}}
        job = client.post("/jobs", json=body).json()
        deadline = time.monotonic() + 120
        while (job := client.get(f"/jobs/{job['id']}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
    assert job["status"] == "succeeded"
    return str(job["id"])


def test_it_says_that_no_report_came_only_once_all_was_read(service: Service, page: Page) -> None:
    """It used to say so of every job that had ended, until its curve was there."""
    job_id = a_finished_job(service)
    held: list[Route] = []

    def hold(route: Route) -> None:  # a list's own method takes no mark of Playwright's
        held.append(route)

    page.route("**/metrics?*", hold)
    page.goto(f"/ui/jobs/{job_id}")
    expect(page.locator("#vitals")).to_contain_text("took")  # the job is there, and drawn as ended
    expect(page.locator("#events")).to_contain_text("succeeded")
    expect(page.locator("#chart-empty")).to_have_text("The first point comes with the first report.")
    page.wait_for_timeout(1500)  # the page draws once a second
    expect(page.locator("#chart-empty")).to_have_text("The first point comes with the first report.")
    [route] = held
    answer = route.fetch().json()
    route.fulfill(json=answer | {"data": []})
    expect(page.locator("#chart-empty")).to_have_text("It ended before the first report.")
    page.unroute("**/metrics?*")
    page.reload()
    expect(page.locator("#chart-empty")).to_be_hidden()
