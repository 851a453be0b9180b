"""The loss as a reader wants it: smoothed, logarithmic, other jobs' over this one's, kept in the address."""

from __future__ import annotations

import re
import time
from itertools import pairwise
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

CURVES = "() => document.getElementById('chart').data.map(({ name, x, y, opacity }) => ({ name, x, y, opacity }))"
SCALE = "() => document.getElementById('chart').layout?.yaxis?.type"
OTHER = "tide-again"


@pytest.fixture(scope="module")
def jobs(service: Service) -> list[str]:
    """Two jobs that have ended."""
    ids = []
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for place, name in enumerate(("tide", OTHER)):
            train = {"max_steps": 6, "batch_size": 1, "context_length": 16}
            body = {"recipe": "pretrain", "name": name, "dataset": "the-tide-clock", "model": {"preset": "gpt-tiny"}}
            answer = client.post("/jobs", json=body | {"train": train, "seed": place})
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["id"])
        for job in ids:
            while client.get(f"/jobs/{job}").json()["status"] != "succeeded":
                time.sleep(0.2)
    return ids


def expect_curve(page: Page) -> None:
    """All of it has come, and what draws it, too."""
    expect(page.locator("#chart-note")).to_contain_text("at step 6")
    expect(page.locator("#chart .legendtext").first).to_have_text("training")


def curves(page: Page) -> dict[str, Any]:
    return {each["name"]: each for each in page.evaluate(CURVES)}


def test_a_curve_is_smoothed_over_what_was_measured(page: Page, jobs: list[str]) -> None:
    page.goto(f"/ui/jobs/{jobs[0]}")
    expect_curve(page)
    measured = curves(page)["training"]["y"]
    page.locator("#smooth").fill("0.5")
    expect(page.locator("#smooth-value")).to_have_text("0.50")
    mean, expected = 0.0, []
    for step, value in enumerate(measured, start=1):
        mean = 0.5 * mean + 0.5 * value
        expected.append(mean / (1 - 0.5**step))
    shown = curves(page)
    assert shown["training, smoothed"]["y"] == pytest.approx(expected)
    assert shown["training"]["y"] == measured
    assert shown["training"]["opacity"] < 1
    jumps = [sum(abs(b - a) for a, b in pairwise(ys)) for ys in (expected, measured)]
    assert jumps[0] < jumps[1]

    expect(page).to_have_url(re.compile("smooth=0.5"))
    page.reload()
    expect(page.locator("#smooth-value")).to_have_text("0.50")
    expect_curve(page)
    assert "training, smoothed" in curves(page)
    page.locator("#smooth").fill("0")
    expect(page.locator("#smooth-value")).to_have_text("off")
    assert "training, smoothed" not in curves(page)


def test_the_scale_is_of_powers_where_that_is_asked(page: Page, jobs: list[str]) -> None:
    page.goto(f"/ui/jobs/{jobs[0]}?step=6")
    expect_curve(page)
    assert page.evaluate(SCALE) == "linear"
    page.get_by_label("Logarithmic").check()
    expect(page).to_have_url(re.compile("step=6.*scale=log"))  # what the scrubber keeps there stays
    assert page.evaluate(SCALE) == "log"
    page.reload()
    expect(page.get_by_label("Logarithmic")).to_be_checked()
    expect_curve(page)
    assert page.evaluate(SCALE) == "log"


def test_other_jobs_lie_over_this_one(page: Page, jobs: list[str]) -> None:
    first, second = jobs
    page.goto(f"/ui/jobs/{first}")
    expect_curve(page)
    page.locator("#over").select_option(second)
    chips = page.locator("#over-jobs a")
    expect(chips).to_have_text([OTHER])
    expect(page).to_have_url(re.compile(f"with={second}"))
    expect(page.locator("#chart .legendtext").nth(2)).to_have_text(OTHER)
    expect(page.locator("#chart")).to_have_attribute("aria-label", re.compile(f"{OTHER}: .* at step 6; the table"))
    page.reload()
    expect(chips).to_have_attribute("href", f"/ui/jobs/{second}")
    page.get_by_role("button", name=f"Take {OTHER} away").click()
    expect(chips).to_have_count(0)
    assert set(curves(page)) == {"training", "validation"}


def test_a_job_that_is_not_there_is_told_and_forgotten(page: Page, jobs: list[str]) -> None:
    page.goto(f"/ui/jobs/{jobs[0]}?with=job_nowhere,{jobs[1]}&smooth=0.9")
    expect(page.locator("#over-jobs a")).to_have_count(1)
    expect(page).to_have_url(re.compile(f"with={jobs[1]}"))
    expect(page.locator("#smooth-value")).to_have_text("0.90")
