"""The pages of data in a real Chromium: a file comes in, its report, the tokens learnt from it, and its end."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

NAME = "<script>alert(1)</script> ملف " + "long-" * 30
ROWS = """{"instruction": "<script>alert(1)</script>", "input": "", "output": "Hello <img src=x onerror=alert(2)>!"}
{broken
{"instruction": "Again.", "input": "", "output": "Hello!"}
{"instruction": "Again.", "input": "", "output": "Hello!"}
{"instruction": "Say nothing.", "input": "", "output": ""}
"""


@pytest.fixture
def file(tmp_path: Path, service: Service) -> Iterator[Path]:
    """A file of rows; datasets that were made of it are deleted afterwards."""
    path = tmp_path / "greetings.jsonl"
    path.write_text(ROWS)
    before = {row["id"] for row in httpx.get(f"{service.url}/datasets").json()["data"]}
    yield path
    for row in httpx.get(f"{service.url}/datasets").json()["data"]:
        if row["source"] == "upload" and row["id"] not in before:
            httpx.delete(f"{service.url}/datasets/{row['id']}").raise_for_status()


def test_a_file_comes_in_is_looked_into_and_goes(page: Page, file: Path, tiny_models: list[str]) -> None:
    page.goto("/ui/datasets")
    page.locator("#file").set_input_files(file)
    page.locator("#name").fill(NAME)
    page.locator("#upload-form .command summary").click()
    expect(page.locator("#upload-command")).to_contain_text('file=@"greetings.jsonl"')
    page.locator("#upload").click()
    page.wait_for_url(re.compile(r"/ui/datasets/ds_\w+$"))
    expect(page.locator("h1")).to_have_text(NAME.strip())

    report = page.locator("#dataset-report-text")
    expect(report).to_contain_text("2 errors")
    expect(report.locator(".report__errors tr")).to_have_count(3)
    expect(report).to_contain_text("line 2")
    expect(report).to_contain_text("1 duplicate (25.0 %)")
    page.locator("#tokenizer").select_option("smollm2")
    page.locator("#context-length").fill("8")
    expect(report).to_contain_text("4 (100 %) do not fit 8 tokens")
    expect(page).to_have_url(re.compile(r"tokenizer=smollm2&context_length=8"))
    page.reload()
    expect(page.locator("#context-length")).to_have_value("8")
    expect(report).to_contain_text("do not fit 8 tokens")

    page.locator("#model").select_option(tiny_models[0])
    page.locator("#template").select_option("alpaca")
    page.locator("#preview").click()
    taught = page.locator(".taught").first
    expect(taught.locator("mark").first).to_be_visible()
    assert "".join(taught.locator("mark").all_inner_texts()).startswith("Hello <img src=x onerror=alert(2)>!")
    assert page.locator("main img").count() == 0
    page.locator("#mask-prompt").uncheck()
    expect(taught).to_have_count(0)  # it was about another form

    report.get_by_role("link", name="line 4").click()
    expect(page.locator(".dataset__rows tbody th")).to_have_text(["4", "5"])
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("button", name="Delete for good?").click()
    page.wait_for_url("**/ui/datasets")
    expect(page.get_by_role("link", name=NAME.strip())).to_have_count(0)


def test_what_is_refused_is_told_and_nothing_is_lost(page: Page, tmp_path: Path, file: Path) -> None:
    page.goto("/ui/datasets")
    page.locator("#upload").click()
    expect(page.locator("#upload-error")).to_have_text("Choose a file.")
    picture = tmp_path / "picture.txt"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    page.locator("#file").set_input_files(picture)
    page.locator("#name").fill("mine")
    page.locator("#upload").click()
    expect(page.locator("#file")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#upload-error")).to_contain_text("text")
    expect(page.locator("#name")).to_have_value("mine")
    page.route("**/datasets", lambda route: route.abort() if route.request.method == "POST" else route.continue_())
    page.locator("#file").set_input_files(file)
    page.locator("#upload").click()
    expect(page.locator("#upload-error")).to_contain_text("The connection broke off")
    page.unroute("**/datasets")
    page.locator("#upload").click()
    page.wait_for_url(re.compile(r"/ui/datasets/ds_\w+$"))
    expect(page.locator("h1")).to_have_text("mine")


def test_classes_and_an_overlap(page: Page, service: Service, file: Path) -> None:
    twin = "label,text\n" + 'lost,"The stroller we folded up in the corner was gone when we got off."\n'
    files = {"file": ("twin.csv", twin)}
    other = httpx.post(f"{service.url}/datasets", files=files).json()["id"]
    page.goto("/ui/datasets/ferry-messages")
    expect(page.locator("#dataset-report-text")).to_contain_text("4 different labels in label, all equally frequent")
    expect(page.locator(".bars").nth(1).locator("li")).to_have_count(4)
    page.locator("#validation").select_option(other)
    expect(page.locator("#dataset-report-text")).to_contain_text("1 of 1 (100 %) there are in this one, too.")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_without_script_files_come_in_and_go(chromium: Browser, service: Service, file: Path) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/datasets")
    page.locator("#file").set_input_files(file)
    page.locator("#upload").click()
    expect(page.locator("h1")).to_have_text("greetings.jsonl")
    expect(page.locator(".dataset__rows tbody tr")).to_have_count(4)
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("h1")).to_have_text("Data")
    context.close()
