"""Tokenizers of one's own, in a real Chromium: merges step by step, one trained, compared, used in a job, deleted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import ROOT, Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def pieces(page: Page) -> list[str]:
    return page.locator("#merge-pieces .merge-piece > span:first-child").all_inner_texts()


def train(page: Page, name: str, **fields: str) -> None:
    page.goto("/ui/tokens")
    expect(page.locator("#dataset option")).not_to_have_count(0)
    page.locator("#dataset").select_option("the-tide-clock")
    page.locator("#name").fill(name)
    for field, value in fields.items():
        page.locator(f"#{field.replace('_', '-')}").fill(value)
    page.locator("#train").click()


def test_a_word_is_put_together_by_slider_buttons_and_keys(page: Page) -> None:
    page.goto("/ui/tokens")
    page.locator("#merge-tokenizer").select_option("gpt2")
    page.locator("#merge-text").fill(" the")
    expect(page.locator("#merge-step")).to_have_attribute("max", "3")
    assert pieces(page) == ["·", "t", "h", "e"]
    expect(page.locator("#merge-back")).to_be_disabled()
    expect(page.locator(".merge-piece--next")).to_have_count(2)
    page.locator("#merge-on").click()
    assert pieces(page) == ["·t", "h", "e"]
    expect(page.locator("#merge-told")).to_contain_text("become id 256. It was the first merge learnt")
    page.locator("#merge-step").focus()
    page.keyboard.press("ArrowRight")
    assert pieces(page) == ["·t", "he"]
    page.keyboard.press("End")
    assert pieces(page) == ["·the"]
    expect(page.locator("#merge-told")).to_contain_text("1 token, 262")
    expect(page.locator("#merge-on")).to_be_disabled()
    expect(page.locator("#merge-step")).to_have_attribute("aria-valuetext", "3 of 3 merges")


def test_text_of_a_word_is_shown_as_text(page: Page) -> None:
    page.goto("/ui/tokens")
    page.locator("#merge-text").fill("<img src=x onerror=alert(1)>")
    page.locator("#text").fill("<img src=x onerror=alert(1)> <b>")
    expect(page.locator("#merge-pieces")).to_contain_text("<")
    expect(page.locator("#compare-cards .token").first).to_have_text("<")
    assert page.locator("main img, main b").count() == 0


def test_one_is_trained_compared_and_deleted(page: Page) -> None:
    train(page, "page-tide", vocab_size="600", special_tokens="<|endoftext|>\n<|user|>")
    expect(page.locator("#train-note")).to_have_text(re.compile("page-tide has 600 ids, learnt from 23 kB"))
    expect(page.locator("#merge-tokenizer")).to_have_value("page-tide")
    row = page.locator("#list tr", has_text="page-tide")
    expect(row).to_contain_text("byte pairs")

    page.locator("#text").fill("The tide clock.\nThe  unseen: 👩‍🚀")
    compared = page.locator("#compare-cards .card", has=page.get_by_role("heading", name="page-tide"))
    expect(compared).to_contain_text("ids it has600")
    expect(compared).to_contain_text("changednone")
    expect(page.locator("#compare-cards .card")).to_have_count(3)  # with gpt2 and smollm2

    row.get_by_role("button").click()
    expect(row.get_by_role("button")).to_have_text("Really?")
    row.get_by_role("button").click()
    expect(page.locator("#list tr", has_text="page-tide")).to_have_count(0)


def test_words_that_one_does_not_know_are_named(page: Page) -> None:
    page.goto("/ui/tokens")
    page.get_by_text("Words", exact=True).click()
    expect(page.locator("#of-bpe")).to_be_hidden()
    page.locator("#name").fill("page-words")
    page.locator("#version").select_option("1")
    expect(page.locator("#dataset option")).not_to_have_count(0)
    page.locator("#dataset").select_option("the-tide-clock")
    page.locator("#train").click()
    expect(page.locator("#train-note")).to_contain_text("page-words has")
    page.locator("#text").fill("the unheardof")
    card = page.locator("#compare-cards .card", has=page.get_by_role("heading", name="page-words"))
    expect(card).to_contain_text("cannot")
    expect(card).to_contain_text("1 (50.0 %): unheardof")
    expect(card.locator(".tokens")).to_contain_text("does not know a word")
    card.locator("summary").click()
    expect(card.locator("details")).to_contain_text("unheardof")
    assert "page-words" not in page.locator("#merge-tokenizer").inner_text()  # it merges nothing


def test_a_refusal_is_told_at_its_field(page: Page) -> None:
    train(page, "page-large", vocab_size="100000")
    expect(page.locator("#vocab-size-refused")).to_contain_text("sk for no more")
    expect(page.locator("#vocab-size")).to_have_attribute("aria-invalid", "true")
    page.locator("#vocab-size").fill("300")
    expect(page.locator(".refused")).to_have_count(0)
    page.locator("#special-tokens").fill("<|a|>\nthe")
    page.locator("#train").click()
    expect(page.locator("#special-tokens")).to_have_attribute("aria-invalid", "true")
    page.locator("#name").fill("gpt2")
    page.locator("#special-tokens").fill("")
    page.locator("#train").click()
    expect(page.locator("#name-refused")).to_contain_text("gpt2")


def test_a_model_is_trained_with_ones_own_tokenizer_and_writes(service: Service) -> None:
    with httpx.Client(base_url=service.url, timeout=60) as client:
        new = {"name": "own-tide", "kind": "bpe", "dataset": "the-tide-clock", "vocab_size": 500}
        assert client.post("/tokenizers", json=new).status_code == 201
        body = {"recipe": "pretrain", "name": "own-model", "dataset": "the-tide-clock", "tokenizer": "own-tide"}
        body |= {"model": {"preset": "gpt-tiny"}, "train": {"max_steps": 3, "batch_size": 2, "context_length": 32}}
        job = client.post("/jobs", json=body).json()
        assert client.delete("/tokenizers/own-tide").json()["error"]["code"] == "conflict"
        deadline = time.monotonic() + 120
        while (job := client.get(f"/jobs/{job['id']}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert (job["status"], job["result"]["model"]) == ("succeeded", "own-model")
        model = client.get("/models/own-model").json()
        assert (model["tokenizer"], model["config"]["vocab_size"]) == ("own-tide", 500)
        asked = {"model": "own-model", "prompt": "The tide", "max_new_tokens": 5, "temperature": 0}
        answer = client.post("/generate", json=asked).json()
        assert (
            answer["usage"]["prompt_tokens"]
            == client.post("/encode", json={"text": "The tide", "tokenizer": "own-tide"}).json()["count"]
        )
        assert all(token["id"] < 500 for token in answer["choices"][0]["tokens"])
        refused = client.delete("/tokenizers/own-tide").json()["error"]
        assert "model own-model" in refused["message"]


def test_the_command_trains_lists_and_deletes(service: Service) -> None:
    def inkling(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "app.cli", "tokenizers", *words]
        environment = os.environ | {"INKLING_URL": service.url}
        run = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)
        return run.returncode, run.stdout + run.stderr

    made = inkling(
        "--train", "samples/the-tide-clock.txt", "--name", "cli-tide", "--vocab-size", "300", "--special", "<|a|>"
    )
    assert made[0] == 0
    assert "cli-tide: 300 ids from 22,823 bytes" in made[1]
    assert "cli-tide" in inkling()[1]
    assert inkling("--train", "the-tide-clock", "--name", "cli-tide")[0] == 1
    assert inkling("--train", "the-tide-clock") == (
        1,
        "inkling: --train wants --name, what the tokenizer is to be called\n",
    )
    assert inkling("--delete", "cli-tide") == (0, "deleted cli-tide\n")
    assert "(tokenizer_not_found)" in inkling("--delete", "cli-tide")[1]
