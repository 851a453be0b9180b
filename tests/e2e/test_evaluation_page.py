"""An evaluation's page in a real Chromium: its figures, and what each row gave, as text."""

from __future__ import annotations

import json
import shlex
import threading
import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Service
from tests.evaluated import answering

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

MARKUP = "<img src=x onerror=alert(1)>"
ROWS = [{"prompt": f"Count to {number}: {MARKUP}", "completion": f"{number} {MARKUP}"} for number in range(1, 24)]


ANSWERS = {"kind": "answers", "max_new_tokens": 3, "prompt_style": "plain"}


def started(client: httpx.Client, rows: list[dict[str, Any]], asked: dict[str, Any]) -> str:
    """The id of an evaluation."""
    content = "".join(json.dumps(row) + "\n" for row in rows)
    dataset = client.post("/datasets", files={"file": ("rows.jsonl", content)}).json()["id"]
    body = {"recipe": "evaluate", "model": "smollm2-135m-instruct", "dataset": dataset, "evaluate": asked}
    return str(client.post("/jobs", json=body).json()["id"])


def measured(client: httpx.Client, rows: list[dict[str, Any]], asked: dict[str, Any]) -> str:
    """The id of one that has ended."""
    job = {"id": started(client, rows, asked)}
    deadline = time.monotonic() + 120
    while (job := client.get(f"/jobs/{job['id']}").json())["status"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert job["status"] == "succeeded", job
    return str(job["id"])


def test_an_evaluation_shows_its_figures_and_its_rows(service: Service, page: Page) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job_id = measured(client, ROWS, ANSWERS)
        page.set_viewport_size({"width": 390, "height": 800})
        page.goto(f"/ui/jobs/{job_id}")
        figures = page.locator("#evaluation-report tbody tr")
        expect(figures).to_have_count(1)
        expect(figures).to_contain_text("smollm2-135m-instruct23")
        expect(page.locator("#loss-title, #samples-title, #checkpoints-title").first).to_be_hidden()

        rows = page.locator("#results > li")
        expect(rows).to_have_count(20)
        expect(rows.first).to_contain_text(f"1 {MARKUP}")
        expect(page.locator("#results img")).to_have_count(0)
        expect(rows.first.get_by_text("What it read")).to_be_visible()
        expect(rows.first.locator("pre")).to_have_text(ROWS[0]["prompt"])
        page.locator("#results-more").click()
        expect(rows).to_have_count(len(ROWS))
        expect(page.locator("#results-more")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth") == 390

        expect(page.locator("#setup")).to_contain_text("measures smollm2-135m-instruct")
        told = shlex.split(page.locator("#job-command").text_content() or "")
        again = client.post("/jobs", json=json.loads(told[told.index("-d") + 1]))
        assert again.status_code == 202, again.text
        assert again.json()["evaluate"] == client.get(f"/jobs/{job_id}").json()["evaluate"]
        client.post(f"/jobs/{again.json()['id']}/cancel")


def ask(page: Page, kind: str, first: str, second: str) -> None:
    """Fill the form for two models, one beside the other."""
    page.goto(f"/ui/train?recipe=evaluate&kind={kind}&model={first}")
    expect(page.locator("#measured")).to_have_value(first)
    page.locator("#against-0").select_option(second)
    expect(page.locator("#against-1")).to_be_visible()


def judged_by(page: Page, url: str) -> None:
    page.get_by_text("On a server").click()
    page.locator("#evaluate-judge-url").fill(url)
    page.locator("#evaluate-judge-api-key").fill("sk-secret")
    page.locator("#judge-server-model").fill("marker")
    page.locator("#evaluate-max-new-tokens").fill("4")
    page.locator("#evaluate-max-rows").fill("3")
    expect(page.locator("#job-command")).to_contain_text('"api_key":"\'"$JUDGE_API_KEY"\'"')


def start(page: Page) -> None:
    page.locator("#start").click()
    page.wait_for_url("**/ui/jobs/job_*")


def ends(page: Page) -> None:
    expect(page.locator("#status")).to_have_text("succeeded", timeout=120_000)


def test_two_models_are_measured_side_by_side(page: Page, tiny_models: list[str]) -> None:
    first, second = tiny_models
    ask(page, "perplexity", first, first)
    page.locator("#start").click()
    expect(page.locator("#against-0-refused")).to_have_text(f"'{first}' is measured already.")
    page.locator("#against-0").select_option(second)
    page.locator("#evaluate-window").fill("64")
    page.locator("#evaluate-max-rows").fill("2")
    start(page)
    ends(page)
    rows = page.locator("#evaluation-report tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.nth(1)).to_contain_text(f"{second}2128")  # two windows of 64 tokens
    expect(page.locator("#results > li")).to_have_count(2)
    expect(page.locator("#results > li").first.locator("h3")).to_have_text([first, second])


def test_rows_grow_in_view_while_a_judge_marks_them(page: Page, tiny_models: list[str]) -> None:
    may_answer = threading.Semaphore(0)

    def mark(_prompt: str) -> str:
        may_answer.acquire(timeout=50)
        return "Score: 80"

    with answering(mark) as (judge, url):
        ask(page, "judge", *tiny_models)
        judged_by(page, url)
        start(page)
        rows = page.locator("#results > li")
        expect(rows).to_have_count(3)
        expect(rows.get_by_text("What they read")).to_have_count(3)  # the same template: once a row
        page.evaluate("() => { window.first = document.querySelector('#results > li'); }")
        marks = rows.get_by_text("Judge, question 1")
        expect(marks).to_have_count(0)
        may_answer.release()
        expect(marks).to_have_count(1)
        expect(page.locator("#status")).to_have_text("running")
        may_answer.release(20)
        ends(page)
        expect(marks).to_have_count(6)
        marks.first.click()
        expect(rows.first.locator("pre:visible").last).to_contain_text("→ Score: 80")
    report = page.locator("#evaluation-report tbody tr")
    expect(report).to_have_count(2)
    expect(report.first).to_contain_text(f"{tiny_models[0]}3080")  # rows, failed, score
    assert {headers["authorization"] for _, headers, _ in judge.seen} == {"Bearer sk-secret"}
    assert "sk-secret" not in page.content()


def test_two_models_are_compared_in_pairs(page: Page, tiny_models: list[str]) -> None:
    with answering(lambda _: "Answer 1") as (judge, url):
        ask(page, "judge", *tiny_models)
        judged_by(page, url)
        page.locator("#evaluate-pairwise").check()
        expect(page.locator("#against-1")).to_be_hidden()
        start(page)
        ends(page)
    assert len(judge.seen) == 6  # each of three pairs in both orders
    headings = page.locator("#evaluation-report th[scope=col]")
    expect(headings).to_have_text(
        ["Model", "rows", "against", "win", "loss", "tie", "disagreed", "unparsable", "failed"]
    )
    expect(page.locator("#evaluation-report tbody tr").first).to_have_text("tiny-one3tiny-two000300")
    expect(page.locator("#results > li").first).to_contain_text("disagreed")


@pytest.mark.parity
def test_each_choice_is_shown_with_how_likely_it_is(service: Service, page: Page) -> None:
    pytest.importorskip("lm_eval")
    rows = [{"question": "The capital of France is", "choices": ["Paris", MARKUP], "answer": MARKUP}]
    with httpx.Client(base_url=service.url, timeout=60) as client:
        job_id = measured(client, rows, {"kind": "choices"})
        (row,) = client.get(f"/jobs/{job_id}/results").json()["data"]
    paris, markup = (f"{each['log_probability']:.3f}" for each in row["models"][0]["figures"]["choices"])
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"/ui/jobs/{job_id}")
    expect(page.locator("#evaluation-report thead")).to_contain_text("acc norm stderr")
    expect(page.locator("#evaluation-report tbody")).to_contain_text("50.0 %")  # chance
    choices = page.get_by_role("region", name="Choices").locator("tbody tr")
    expect(choices).to_have_count(2)
    expect(choices.first).to_have_text(f"Paris{paris}chosen")
    expect(choices.last).to_have_text(f"{MARKUP}{markup}right")
    expect(page.locator("#results img")).to_have_count(0)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
