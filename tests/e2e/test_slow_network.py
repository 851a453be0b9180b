"""What a person does before a page's lists have come, in a real Chromium: nothing of it is lost or overwritten."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


@pytest.fixture
def held(page: Page) -> Callable[[], None]:
    """Lists do not come until this is called."""
    waiting: list[Route] | None = []
    lists = re.compile(r"/(models|datasets|tokenizers)(\?.*)?$")

    def hold(route: Route) -> None:
        if waiting is None:
            route.continue_()
        else:
            waiting.append(route)

    def release() -> None:
        nonlocal waiting
        came, waiting = waiting, None
        for route in came or []:
            route.continue_()

    page.route(lists, hold)
    return release


def test_who_is_faster_than_the_list_of_models_gets_a_text(page: Page, held: Callable[[], None]) -> None:
    page.goto("/")
    page.locator("#prompt").fill("The sea was")
    page.locator("#max-new-tokens").fill("4")
    page.locator("#prompt").press("Control+Enter")
    expect(page.locator("#stop")).to_be_enabled()
    expect(page.locator("#generate-error")).to_be_hidden()
    held()
    expect(page.locator("#generate-status")).to_contain_text("4 new tokens")


def test_what_is_typed_before_the_models_have_come_is_in_the_address_afterwards(
    page: Page, held: Callable[[], None]
) -> None:
    page.goto("/ui/generate")
    page.locator("#prompt").fill("The sea was")
    page.wait_for_timeout(700)  # longer than the page waits before it writes the address
    held()
    expect(page).to_have_url(re.compile(r"prompt=The\+sea\+was"))


def test_the_form_for_jobs_is_filled_in_once_its_lists_have_come(page: Page, held: Callable[[], None]) -> None:
    page.goto("/ui/train")
    expect(page.locator("#max-steps")).to_be_disabled()
    held()
    page.locator("#max-steps").fill("7")  # waits until it can be
    expect(page.locator("#job-command")).to_contain_text('"max_steps":7')
    expect(page.locator("#dataset option")).not_to_have_count(0)
    expect(page.locator("#max-steps")).to_have_value("7")
