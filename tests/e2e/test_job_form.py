"""The form that starts jobs, in a real Chromium: filled for each recipe with what ships, up to what came of it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import ROOT, Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

JOB_MS = 120_000  # for what a worker has to do, on a busy machine


SHIPPED = {
    "pretrain": "the-tide-clock",
    "word2vec": "the-tide-clock",
    "classify": "ferry-messages",
    "instruct": "small-tasks",
    "dpo": "better-answers",
    "evaluate": "small-tasks",
}


def open_form(page: Page, recipe: str) -> None:
    """The form of a recipe, on data that ships: which is chosen by itself hangs on what other tests have uploaded."""
    page.goto("/ui/train")
    expect(page.locator("#dataset option")).not_to_have_count(0)
    expect(page.locator("#model option")).not_to_have_count(0)
    page.locator("#recipe").select_option(recipe)
    page.locator("#dataset").select_option(SHIPPED[recipe])


def continue_with(page: Page, model: str, what: str) -> None:
    page.get_by_text("Continue one").click()
    page.locator("#model").select_option(model)
    page.locator("#trainable").select_option(what)


def unfold(page: Page) -> None:
    page.locator(".more > summary").click()


def told(page: Page) -> Any:
    """What the command in the form would send."""
    expect(page.locator("#job-command")).to_contain_text("curl")
    words = shlex.split(page.locator("#job-command").text_content() or "")
    return json.loads(words[words.index("-d") + 1])


def start(page: Page) -> None:
    """Start the job, see that it is asked for as the command says, and follow it to its end."""
    said = told(page)
    with page.expect_request(lambda request: request.method == "POST" and request.url.endswith("/jobs")) as sent:
        page.locator("#start").click()
    assert sent.value.post_data_json == said
    page.wait_for_url("**/ui/jobs/job_*")
    expect(page.locator("#status")).to_have_text("succeeded", timeout=JOB_MS)


def test_classes_are_learnt_and_then_measured(page: Page) -> None:
    open_form(page, "classify")
    page.locator("#dataset").select_option("ferry-messages")
    expect(page.locator("#columns-label")).to_have_value("label")
    expect(page.locator("#sample-prompt")).to_be_hidden()
    page.locator("#max-steps").fill("3")
    start(page)
    expect(page.locator("#report")).to_be_visible()
    expect(page.locator("#class-scores tr")).to_have_count(4)
    expect(page.locator("#accuracy-chart .scatterlayer")).to_be_attached()

    page.locator("#measure").click()
    page.wait_for_url("**/ui/train?*")
    expect(page.locator("#evaluate-kind")).to_have_value("accuracy")
    expect(page.locator("#dataset")).to_have_value("ferry-messages")  # what it learnt from, whatever else is there
    expect(page.locator("#measured")).to_have_value(re.compile("gpt-tiny"))
    expect(page.locator("#measured option", has_text="smollm2-135m-instruct")).to_have_attribute("disabled", "")
    page.locator("#evaluate-max-rows").fill("20")
    start(page)
    expect(page.locator("#evaluation-report caption")).to_have_text(re.compile("gpt-tiny"))
    expect(page.locator("#results > li")).to_have_count(20)


def test_answers_are_learnt(page: Page, tiny_models: list[str]) -> None:
    open_form(page, "instruct")
    page.locator("#dataset").select_option("small-tasks")
    expect(page.get_by_label("A new one")).to_be_disabled()
    continue_with(page, tiny_models[0], "all")
    page.locator("#epochs").fill("1")
    expect(page.locator("#max-steps")).to_have_value("")
    unfold(page)
    page.locator("#template").select_option("alpaca")
    page.locator("#preview").click()
    expect(page.locator(".taught mark").first).to_be_visible()
    page.locator("#batch-size").fill("40")
    page.locator("#mask-prompt").uncheck()
    page.locator("#sample-every").fill("1")
    page.locator("#sample-tokens").fill("3")
    own = {"epochs": 1, "batch_size": 40, "template": "alpaca", "mask_prompt": False}
    assert told(page)["train"] == own | {"sample_every": 1, "sample_tokens": 3}  # `trainable` all is the default
    start(page)
    expect(page.locator("#samples li").first).to_be_visible()
    expect(page.locator("#steps")).to_have_text("step 2 of 2")


def test_better_answers_are_learnt_from_worse_ones(page: Page, tiny_models: list[str]) -> None:
    open_form(page, "dpo")
    continue_with(page, tiny_models[0], "last_block")
    page.locator("#max-steps").fill("2")
    unfold(page)
    page.locator("#template").select_option("alpaca")
    page.locator("#beta").fill("0.2")
    page.locator("#eval-every").fill("1")
    start(page)
    expect(page.locator("#preference-chart .scatterlayer")).to_be_attached()
    expect(page.locator("#setup")).to_contain_text("beta0.2")


def test_an_adapter_is_learnt_beside_a_model(page: Page, tiny_models: list[str]) -> None:
    open_form(page, "pretrain")
    expect(page.locator("#lora-rank")).to_be_hidden()
    continue_with(page, tiny_models[0], "lora")
    page.locator("#lora-rank").fill("2")
    for layer in ("query", "value"):
        page.get_by_label(layer, exact=True).check()
    page.locator("#max-steps").fill("2")
    unfold(page)
    page.locator("#name").fill("tides")
    page.locator("#grad-clip").locator("..").get_by_label("none").check()
    expect(page.locator("#grad-clip")).to_be_disabled()
    start(page)
    expect(page.locator("h1")).to_have_text(f"{tiny_models[0]}:tides")
    expect(page.locator("#setup")).to_contain_text('"targets":["query","value"]')
    assert '"rank":2' in page.locator("#setup").inner_text()
    expect(page.locator("#try")).to_have_attribute("href", re.compile("tides"))


def test_what_a_job_would_take_is_told_before_it_starts(page: Page) -> None:
    open_form(page, "pretrain")
    page.locator("#max-steps").fill("7")
    page.locator("#estimate").click()
    expect(page.locator("#estimate-figures li")).to_have_count(5, timeout=JOB_MS)
    expect(page.locator("#estimate-figures")).to_contain_text("7 steps")
    page.locator("#max-steps").fill("8")
    expect(page.locator("#estimate-figures")).to_be_empty()
    unfold(page)
    page.locator("#devices").fill("3")
    page.locator("#estimate").click()
    expect(page.locator("#batch-size")).to_have_attribute("aria-invalid", "true")


def test_the_book_s_settings_are_shown_as_the_defaults_they_become(page: Page) -> None:
    open_form(page, "pretrain")
    unfold(page)
    expect(page.locator("#batch-size")).to_have_attribute("placeholder", "8")
    page.locator("#train-preset").select_option("book-ch05")
    expect(page.locator("#batch-size")).to_have_attribute("placeholder", "2")
    expect(page.locator("#grad-clip")).to_have_attribute("placeholder", "never")
    expect(page.locator("#order")).to_have_value("book")
    expect(page.locator("#preset")).to_be_hidden()
    assert told(page) == {"recipe": "pretrain", "dataset": "the-tide-clock", "train": {"preset": "book-ch05"}}
    page.locator("#train-preset").select_option("")
    expect(page.locator("#order")).to_have_value("seeded")
    expect(page.locator("#preset")).to_be_visible()


def test_a_refusal_is_told_at_its_field_and_goes_when_that_is_changed(page: Page) -> None:
    open_form(page, "pretrain")
    unfold(page)
    page.locator("#webhook-secret").fill("whsec_it's $HOME")
    assert told(page)["webhook"] == {"secret": "$WEBHOOK_SECRET"}  # which a shell puts in, shown nowhere
    expect(page.locator("#job-command")).not_to_contain_text("HOME")
    page.locator("#start").click()
    expect(page.locator("#webhook-url")).to_be_focused()
    expect(page.locator("#webhook-url")).to_have_attribute("aria-errormessage", "webhook-url-refused")
    expect(page.locator("#webhook-url-refused")).to_have_text("Field required.")
    page.locator("#webhook-url").fill("https://127.0.0.1/")
    expect(page.locator("#webhook-url-refused")).to_have_count(0)
    page.locator("#webhook-secret").fill("")
    page.locator("#start").click()
    expect(page.locator("#webhook-url-refused")).to_contain_text("address")
    page.locator("#webhook-url").fill("")
    page.locator("#keep-checkpoints").fill("0")
    unfold(page)
    page.locator("#start").click()
    expect(page.locator("#keep-checkpoints")).to_be_focused()  # what is folded away opens


def test_all_settings_are_reached_by_keyboard(page: Page) -> None:
    open_form(page, "pretrain")
    page.locator(".more > summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#name")).to_be_visible()
    visible = "all => all.filter(one => one.checkVisibility()).map(one => one.dataset.param ?? one.dataset.none)"
    expected = page.locator(".more input, .more select").evaluate_all(visible)
    reached = []
    for _ in expected:
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.dataset.param ?? document.activeElement.dataset.none"))
    assert reached == expected
    assert len(expected) > 30


@pytest.mark.parametrize("width", [390, 1280])
def test_no_form_is_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    open_form(page, "pretrain")
    unfold(page)
    cut = "all => all.filter(one => one.checkVisibility() && one.scrollWidth > one.clientWidth + 1).map(one => one.id)"
    for recipe in ("pretrain", "classify", "instruct", "dpo", "word2vec", "evaluate"):
        page.locator("#recipe").select_option(recipe)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.locator("#job-form label, #job-form legend, #job-form .note").evaluate_all(cut) == []


def test_a_link_chooses_what_is_to_be_done(page: Page, tiny_models: list[str]) -> None:
    page.goto(f"/ui/train?recipe=evaluate&kind=answers&dataset=better-answers&model={tiny_models[1]}")
    expect(page.locator("#measured")).to_have_value(tiny_models[1])
    expect(page.locator("#evaluate-kind")).to_have_value("answers")
    expect(page.locator("#dataset")).to_have_value("better-answers")
    page.goto(f"/ui/train?recipe=instruct&model={tiny_models[1]}")
    expect(page.locator("#model")).to_have_value(tiny_models[1])
    assert told(page)["model"] == tiny_models[1]


def command(page: Page, language: str) -> str:
    return page.locator(f"#{language}-command").text_content() or ""


def printed_by(words: str, *more: str) -> str:
    """What an `inkling` command of the page prints."""
    asked = [*shlex.split(words.replace("\\\n", ""))[1:], *more]  # a shell joins such lines, shlex does not
    done = subprocess.run(
        [sys.executable, "-m", "app.cli", *asked], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("recipe", ["pretrain", "classify", "instruct", "evaluate"])
def test_the_command_of_inkling_asks_for_the_same(page: Page, tiny_models: list[str], recipe: str) -> None:
    open_form(page, recipe)
    if recipe == "instruct":
        continue_with(page, tiny_models[0], "lora")
        page.locator("#lora-rank").fill("2")
    if recipe == "evaluate":
        page.locator("#evaluate-window").fill("64")
    else:
        page.locator("#max-steps").fill("3")
    expect(page.locator("#inkling-command")).to_contain_text("64" if recipe == "evaluate" else "max_steps=3")
    said = told(page)
    sent = shlex.split(printed_by(command(page, "inkling"), "--print-curl"))
    assert json.loads(sent[sent.index("-d") + 1]) == said


def test_openais_client_is_told_where_it_has_the_words(page: Page, service: Service) -> None:
    open_form(page, "instruct")
    continue_with(page, "smollm2-135m-instruct", "all")
    expect(page.locator("#python-command")).to_contain_text("no word for train.max_steps")
    page.locator("#epochs").fill("1")
    unfold(page)
    page.locator("#batch-size").fill("40")
    page.locator("#seed").fill("5")
    expect(page.locator("#python-command")).to_contain_text("client.fine_tuning.jobs.create")
    expect(page.locator("#python-command")).not_to_contain_text("no word for")
    written = [sys.executable, "-c", command(page, "python")]
    done = subprocess.run(written, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    of_client = httpx.get(f"{service.url}/jobs/{done.stdout.strip()}", timeout=60).json()
    of_form = httpx.post(f"{service.url}/jobs", json=told(page), timeout=60).json()
    same = ("recipe", "dataset", "model", "validation", "columns", "train", "seed")
    assert {name: of_client[name] for name in same} == {name: of_form[name] for name in same}
    for job in (of_client, of_form):
        httpx.post(f"{service.url}/jobs/{job['id']}/cancel", timeout=60)


def test_a_secret_stands_in_no_command(page: Page) -> None:
    open_form(page, "pretrain")
    unfold(page)
    page.locator("#webhook-url").fill("https://example.com/")
    page.locator("#webhook-secret").fill("whsec_kept")
    expect(page.locator("#python-command")).to_contain_text('os.environ["WEBHOOK_SECRET"]')
    expect(page.locator("#inkling-command")).to_contain_text("curl asks for it")
    assert "kept" not in command(page, "job") + command(page, "python") + command(page, "inkling")


def test_data_that_cannot_be_read_chooses_what_can(page: Page, service: Service) -> None:
    """The data comes first: it used to be out of reach until the right recipe was chosen."""
    open_form(page, "word2vec")
    page.locator("#dataset").select_option("ferry-messages")
    expect(page.locator("#recipe")).to_have_value("classify")
    expect(page.locator("#dataset")).to_have_value("ferry-messages")
    expect(page.locator("#columns-label")).to_have_value("label")
    page.locator("#dataset").select_option("better-answers")
    expect(page.locator("#recipe")).to_have_value("dpo")
    page.locator("#dataset").select_option("the-tide-clock")
    expect(page.locator("#recipe")).to_have_value("pretrain")
    page.locator("#recipe").select_option("instruct")  # what the data cannot do takes the data that is usual for it
    rows = httpx.get(f"{service.url}/datasets", params={"limit": 100}, timeout=60).json()["data"]
    expect(page.locator("#dataset")).to_have_value(next(row["id"] for row in rows if row["kind"] == "instructions"))
