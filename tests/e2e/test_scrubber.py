"""Dragging along a job's checkpoints in a real Chromium: what is shown is what that checkpoint says of the prompt."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

PROMPT = "The tide clock on the wall"
JOB_MS = 240_000  # for what a worker has to do, on a busy machine


def ended(service: Service, job_id: str) -> str:
    deadline = time.monotonic() + JOB_MS / 1000
    while (status := httpx.get(f"{service.url}/jobs/{job_id}", timeout=60).json()["status"]) != "succeeded":
        assert status in ("validating_files", "queued", "running")
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return job_id


def asked_for(service: Service, body: dict[str, Any]) -> str:
    made = httpx.post(f"{service.url}/jobs", json=body, timeout=60)
    assert made.status_code == 202, made.text
    return str(made.json()["id"])


def a_job(service: Service, **train: Any) -> str:
    asked = {"batch_size": 2, "context_length": 32, "sample_prompt": PROMPT, "sample_tokens": 5} | train
    body = {
        "recipe": "pretrain",
        "dataset": "the-tide-clock",
        "model": {"preset": "gpt-tiny"},
        "train": asked,
        "seed": 1,
    }
    return asked_for(service, body)


@pytest.fixture(scope="module")
def job(service: Service) -> str:
    """Six steps, each saved, of which the last four are kept; samples at every other."""
    train = {"max_steps": 6, "checkpoint_every": 1, "keep_checkpoints": 4, "keep_best": False, "sample_every": 2}
    return ended(service, a_job(service, **train))


def words(service: Service, model: str, text: str) -> list[str]:
    """The likeliest next tokens, spaces and line ends as the page draws them."""
    count = httpx.post(f"{service.url}/tokenize", json={"text": text, "tokenizer": "gpt2"}, timeout=60).json()["count"]
    body = {"model": model, "text": text, "tokens": [count - 1], "want": ["next"], "top": 8}
    found = httpx.post(f"{service.url}/inspect", json=body, timeout=60).json()["next"][0]["top"]
    return [one["text"].replace(" ", "·").replace("\n", "⏎") for one in found]


def expect_stop(page: Page, where: str) -> None:
    """The slider stands there, and all panels have what belongs there."""
    expect(page.locator("#scrub-range")).to_have_attribute("aria-valuetext", where)
    expect(page.locator("#scrub-where")).to_have_text(where)
    expect(page.locator(".is-old")).to_have_count(0)


def test_the_slider_shows_what_each_checkpoint_says(service: Service, page: Page, job: str) -> None:
    page.goto(f"/ui/jobs/{job}")
    slider, following = page.locator("#scrub-range"), page.locator("#next-tokens .word")
    expect(page.locator("#scrub-marks option")).to_have_count(6)
    expect(page.locator("#scrub-status")).to_contain_text("Nothing is asked of a checkpoint")
    expect(page.locator("#scrub-text-note")).to_have_text("As the job itself wrote it at this step.")
    expect(following).to_have_count(0)

    slider.press("ArrowLeft")
    expect_stop(page, "step 5 of 6, checkpoint 5 of 6")
    expect(following).to_have_text(words(service, f"{job}@5", PROMPT))
    expect(page.locator("#scrub-text-note")).to_contain_text("Written now by this checkpoint")
    expect(page.locator("#scrub-text")).to_contain_text(PROMPT)
    expect(page.locator("#matrix")).to_have_attribute("aria-label", re.compile("attention of layer 0, head 0"))
    page.wait_for_url("**?step=5")

    slider.press("Home")
    expect_stop(page, "step 1 of 6, checkpoint 1 of 6, no longer kept")
    expect(page.locator("#scrub-status")).to_contain_text("step 1 is no longer kept: this job keeps the newest 4.")
    expect(following).to_have_count(0)
    expect(page.locator("#scrub-text")).to_be_empty()
    slider.press("ArrowRight")  # gone too, but the job wrote a text there
    expect_stop(page, "step 2 of 6, checkpoint 2 of 6, no longer kept")
    expect(page.locator("#scrub-text")).to_contain_text(PROMPT)

    slider.press("ArrowRight")
    expect_stop(page, "step 3 of 6, checkpoint 3 of 6")
    page.locator("#scrub-prompt").fill("salt & <b>water</b>")
    page.locator("#scrub-layer").fill("1")
    page.locator("#scrub-head").fill("2")
    expect(page.locator("#matrix")).to_have_attribute("aria-label", re.compile("attention of layer 1, head 2"))
    expect(page.locator("#scrub-text")).to_contain_text("salt & <b>water</b>")
    expect_stop(page, "step 3 of 6, checkpoint 3 of 6")
    expect(following).to_have_text(words(service, f"{job}@3", "salt & <b>water</b>"))

    page.reload()
    expect_stop(page, "step 3 of 6, checkpoint 3 of 6")
    expect(page.locator("#scrub-prompt")).to_have_value("salt & <b>water</b>")
    expect(following).to_have_text(words(service, f"{job}@3", "salt & <b>water</b>"))
    expect(page.locator("#matrix")).to_have_attribute("aria-label", re.compile("attention of layer 1, head 2"))


def test_what_is_dragged_past_is_asked_for_once_and_the_stop_stands(service: Service, page: Page, job: str) -> None:
    """An answer that is late used to be the danger here: it would have stood under another step's name."""
    held: list[Route] = []
    asked: list[str] = []

    def hold(route: Route) -> None:
        asked.append(json.loads(route.request.post_data or "")["model"])
        if asked[-1].endswith("@4") and not held:
            held.append(route)
        else:
            route.continue_()

    page.route("**/inspect", hold)
    page.goto(f"/ui/jobs/{job}?step=6")
    expect_stop(page, "step 6 of 6, checkpoint 6 of 6")
    seen = page.locator("#next-tokens").inner_text()
    expect(page.locator("#scrub-range")).to_have_attribute("max", re.compile(r"^6\.\d"))  # as the axis
    page.locator("#scrub-range").scroll_into_view_if_needed()
    box = page.locator("#scrub-range").bounding_box()
    assert box is not None
    low, high = (float(page.locator("#scrub-range").get_attribute(name) or 0) for name in ("min", "max"))
    places = {step: box["x"] + 8 + (box["width"] - 16) * (step - low) / (high - low) for step in range(1, 7)}
    middle = box["y"] + box["height"] / 2
    page.mouse.move(places[6], middle)
    page.mouse.down()
    page.mouse.move(places[4], middle, steps=5)
    expect(page.locator("#scrub-where")).to_have_text("step 4 of 6, checkpoint 4 of 6")
    expect(page.locator("#scrub-next-panel")).to_have_class(re.compile("is-old"))
    expect(page.locator("#scrub-progress")).to_be_visible()  # after a second; the server is not heard of
    assert page.locator("#next-tokens").inner_text() == seen  # dimmed rather than blanked
    page.mouse.move(places[3], middle, steps=5)
    page.mouse.up()
    expect(page.locator("#scrub-where")).to_have_text("step 3 of 6, checkpoint 3 of 6")
    [late] = held
    late.continue_()
    expect_stop(page, "step 3 of 6, checkpoint 3 of 6")
    expect(page.locator("#scrub-progress")).to_be_hidden()
    expect(page.locator("#next-tokens .word")).to_have_text(words(service, f"{job}@3", PROMPT))
    so_far = len(asked)
    page.locator("#scrub-range").press("End")
    expect_stop(page, "step 6 of 6, checkpoint 6 of 6")
    page.locator("#scrub-range").press("ArrowLeft")  # a stop that is new: by its answers those of the last one were due
    expect_stop(page, "step 5 of 6, checkpoint 5 of 6")
    expect(page.locator("#scrub-text-note")).to_contain_text("Written now")
    assert set(asked[so_far:]) == {f"{job}@5"}


def test_a_checkpoint_that_goes_while_it_is_looked_at_is_told(service: Service, page: Page) -> None:
    train = {"max_steps": 2, "checkpoint_every": 1, "keep_checkpoints": 2, "sample_every": 2}
    job_id = a_job(service, **train)
    page.goto(f"/ui/jobs/{job_id}")
    expect(page.locator("#status")).to_have_text("succeeded", timeout=JOB_MS)
    expect(page.locator("#scrub-marks option")).to_have_count(2)
    assert httpx.delete(f"{service.url}/jobs/{job_id}/checkpoints/1", timeout=60).status_code == 200
    page.locator("#scrub-range").press("Home")
    expect_stop(page, "step 1 of 2, checkpoint 1 of 2, no longer kept")


@pytest.fixture
def long_job(service: Service) -> Iterator[str]:
    """One that runs as long as a test looks at it."""
    job_id = a_job(service, max_steps=5000, checkpoint_every=10, keep_checkpoints=3)
    yield job_id
    httpx.post(f"{service.url}/jobs/{job_id}/cancel", timeout=60)


def test_new_checkpoints_come_while_the_job_runs(page: Page, long_job: str) -> None:
    page.goto(f"/ui/jobs/{long_job}")
    marks, where = page.locator("#scrub-marks option"), page.locator("#scrub-where")
    for least in (2, 3):  # it stays at the last one
        expect(marks.nth(least - 1)).to_be_attached(timeout=JOB_MS)
        expect(where).to_have_text(re.compile(r"step \d+ of 5,000, checkpoint (\d+) of \1$"))
    page.locator("#scrub-range").press("ArrowLeft")
    expect(where).not_to_have_text(re.compile(r"checkpoint (\d+) of \1\b"))
    before = where.inner_text().split(",")[0]
    count = marks.count()
    expect(marks.nth(count)).to_be_attached(timeout=JOB_MS)
    assert where.inner_text().split(",")[0] == before  # who looks at one stays there


def test_of_a_classifier_the_chances_of_each_class_are_shown(service: Service, page: Page) -> None:
    train = {"max_steps": 2, "batch_size": 4, "checkpoint_every": 1}
    body = {"recipe": "classify", "dataset": "ferry-messages", "model": {"preset": "gpt-tiny"}, "train": train}
    job_id = ended(service, asked_for(service, body))
    page.goto(f"/ui/jobs/{job_id}")
    expect(page.locator("#scrub-text")).to_have_count(0)
    expect(page.locator("#scrub-where")).to_have_text("step 2 of 2, checkpoint 2 of 2")
    page.locator("#scrub-range").press("Home")
    expect_stop(page, "step 1 of 2, checkpoint 1 of 2")
    asked = {"model": f"{job_id}@1", "input": page.locator("#scrub-prompt").input_value()}
    found = httpx.post(f"{service.url}/classify", json=asked, timeout=60).json()["data"][0]["probabilities"]
    assert len(found) == 4
    expect(page.locator("#next-tokens .word")).to_have_text(list(found))
    shares = [f"{100 * share:.1f}" for share in found.values()]
    expect(page.locator("#next-tokens .percent")).to_have_text([f"{share} %" for share in shares])
    plain = httpx.get(f"{service.url}/ui/jobs/{job_id}?plain=1&step=1", timeout=60).text
    rows = re.findall(r'<code class="plain-token">([^<]*)</code> ([\d.]+) %', plain)
    assert rows == list(zip(found, shares, strict=True))


def test_what_learns_to_answer_is_asked_by_its_template(service: Service, page: Page, tiny_models: list[str]) -> None:
    train = {"max_steps": 2, "batch_size": 4, "checkpoint_every": 1, "template": "alpaca", "sample_tokens": 3}
    body = {"recipe": "instruct", "dataset": "small-tasks", "model": tiny_models[0], "train": train}
    job_id = ended(service, asked_for(service, body))
    page.goto(f"/ui/jobs/{job_id}?step=1&prompt=Why?")
    expect_stop(page, "step 1 of 2, checkpoint 1 of 2")
    turns = [{"role": "user", "content": "Why?"}]
    asked = {"model": f"{job_id}@1", "messages": turns, "max_new_tokens": 3, "temperature": 0}
    found = httpx.post(f"{service.url}/generate", json=asked, timeout=60).json()["choices"][0]["text"]
    expect(page.locator("#scrub-text-note")).to_contain_text("Written now")
    assert page.locator("#scrub-text").text_content() == found
    expect(page.locator("#next-tokens li")).to_have_count(8)
