"""The page of models in a real Chromium: one comes in by upload, goes into memory, writes, is taken out, deleted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import Service
from tests.weight_files import CONFIGS, a_folder, a_network

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

NAME = "page-tiny"


@pytest.fixture
def files(tmp_path: Path, service: Service) -> Iterator[list[Path]]:
    """A model's files; what was made of them is deleted afterwards."""
    yield sorted(a_folder(tmp_path / NAME, a_network(CONFIGS["llama"])).iterdir())
    httpx.delete(f"{service.url}/models/{NAME}")


def test_a_model_comes_in_writes_and_goes(page: Page, files: list[Path]) -> None:
    page.goto("/ui/models")
    shipped = page.locator("#model-smollm2-135m-instruct")
    expect(shipped).to_contain_text("135 M")
    expect(shipped.locator(".parts__names li")).to_have_count(4)  # a tied head has no bytes
    expect(shipped.get_by_role("button", name="Delete")).to_have_count(0)

    page.locator("#files").set_input_files(files)
    expect(page.locator("#name")).to_have_value("model")
    page.locator("#name").fill(NAME)
    expect(page.locator("#import-command")).to_contain_text("files=@model.safetensors")
    page.locator("#import").click()
    expect(page.locator("#import-status")).to_contain_text(f"{NAME} is here")

    model = page.locator(f"#model-{NAME}")
    expect(model.locator(".badge")).to_have_text("on disk")
    model.get_by_text("Where it comes from").click()
    expect(model.locator(".lineage")).to_contain_text("model.safetensors")
    model.get_by_role("button", name="Load into memory").click()
    expect(model.locator(".badge")).to_have_text("in memory")
    expect(model.locator(".lineage")).to_be_visible()  # what was unfolded stays so
    with page.expect_download() as download:
        model.get_by_text("Take it elsewhere").click()
        model.get_by_role("link", name="GGUF f16").click()
    assert download.value.suggested_filename == f"{NAME}.f16.gguf"

    model.get_by_role("link", name="Generate").click()
    expect(page.locator("#model")).to_have_value(NAME)
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)  # the page's last part: before it the form is sent
    page.locator("#prompt").fill("hello sea")
    page.locator("#max-new-tokens").fill("5")
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text(re.compile("new tokens?"))

    page.goto("/ui/models")
    model.get_by_role("button", name="Take out of memory").click()
    expect(model.locator(".badge")).to_have_text("on disk")
    model.get_by_role("button", name="Delete").click()
    model.get_by_role("button", name="Delete for good?").click()
    expect(model).to_have_count(0)


def test_what_is_refused_is_told_at_its_field(page: Page, files: list[Path], tmp_path: Path) -> None:
    pickled = tmp_path / "pytorch_model.bin"
    pickled.write_bytes(b"\x80\x02.")
    page.goto("/ui/models")
    page.locator("#files").set_input_files(pickled)
    page.locator("#name").fill(NAME)
    page.locator("#import").click()
    expect(page.locator("#import-error")).to_contain_text("save_pretrained")
    expect(page.locator("#files")).to_have_attribute("aria-invalid", "true")

    page.locator("#licence").fill("mit")
    expect(page.locator("#import-command")).to_contain_text("licence=mit")
    page.get_by_text("on the hub").click()
    page.locator("#hub").fill("someone/tiny")
    page.locator("#revision").fill("../x")
    page.locator("#hub-file").fill("tiny.gguf")
    expect(page.locator("#import-command")).to_contain_text('"revision":"../x","file":"tiny.gguf"},"licence":"mit"')
    page.locator("#import").click()
    expect(page.locator("#revision")).to_have_attribute("aria-invalid", "true")

    page.get_by_text("on the server").click()
    expect(page.locator("#hub-file")).to_be_hidden()
    page.locator("#folder").fill("../elsewhere")
    page.locator("#import").click()
    expect(page.locator("#folder")).to_have_attribute("aria-invalid", "true")
    page.locator("#folder").fill("nothing-here")
    expect(page.locator("#import-command")).to_contain_text('"folder":"nothing-here"')
    page.locator("#import").click()
    expect(page.locator("#import-error")).to_contain_text("nothing-here")
