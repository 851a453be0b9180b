"""Signing in, in a real Chromium: with script and without, what pages then do by themselves, and out again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from app.config import Settings
from app.main import create_app
from app.services import keys
from tests.e2e.conftest import PATIENCE_MS, Watch
from tests.serving import served

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def locked(settings: Settings) -> Iterator[tuple[str, str]]:
    """A service that asks for a key, and one."""
    update = {"assets_dir": settings.data_dir / "no-assets", "require_keys": "true"}
    app = create_app(settings.model_copy(update=update))
    with served(app) as port:
        with app.state.runtime.database.write() as session:
            secret = keys.create(session, "person").secret
        yield f"http://127.0.0.1:{port}", secret


@pytest.mark.parametrize("with_script", [True, False], ids=["script", "no script"])
def test_a_person_signs_in_changes_something_and_leaves(
    chromium: Browser, locked: tuple[str, str], tmp_path: Path, with_script: bool
) -> None:
    url, secret = locked
    file = tmp_path / "tea.txt"
    file.write_text("Do you like tea?\n" * 20)
    context = chromium.new_context(base_url=url, java_script_enabled=with_script)
    context.set_default_timeout(PATIENCE_MS)
    page, watch = context.new_page(), Watch(url)
    watch.over(page)
    page.goto("/ui/datasets")
    expect(page).to_have_url(re.compile(r"/ui/sign-in\?next=/ui/datasets$"))
    page.get_by_label("Key").fill("inkling_wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("unknown")
    page.get_by_label("Key").fill(secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/ui/datasets")

    page.locator("#file").set_input_files(file)
    page.locator("#upload").click()
    page.wait_for_url(re.compile(r"/ui/datasets/ds_\w+$"))
    page.get_by_role("button", name="Delete").click()
    if with_script:
        page.get_by_role("button", name="Delete for good?").click()
    page.wait_for_url("**/ui/datasets")
    assert {cookie["name"]: (cookie["httpOnly"], cookie["sameSite"]) for cookie in context.cookies()} == {
        "inkling_session": (True, "Lax")
    }
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/ui/sign-in")
    page.goto("/ui/datasets")
    expect(page).to_have_url(re.compile("/ui/sign-in"))
    assert watch.complaints == []
    context.close()
