"""What axe-core finds on every page, its data there: in light and dark colours, on a wide screen and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page

from bench.all_pages import PAGES, Seen, all_made, open_page
from tests.e2e.conftest import ROOT, Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

AXE = ROOT / ".axe" / "node_modules" / "axe-core" / "axe.min.js"
ALL = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
COLOURS = {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}
UNFOLD = "for (const one of document.querySelectorAll('details')) one.open = true"
SETTLED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"  # a script follows colours
RUN = """
async (only) => {
  const { violations } = await axe.run(document, { runOnly: only, resultTypes: ["violations"] });
  const told = ({ target, html, failureSummary }) => `${target.join(" ")} ${html.slice(0, 160)}\n${failureSummary}`;
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${told(node)}`));
}
"""


@pytest.fixture(scope="module")
def axe() -> str:
    if not AXE.exists():
        pytest.skip("needs axe-core (`make axe`)")
    return AXE.read_text()


@pytest.fixture(scope="module")
def made(service: Service) -> Iterator[dict[str, str]]:
    with (
        httpx.Client(base_url=service.url, timeout=60) as client,
        all_made(client, "smollm2-135m-instruct", steps=6) as names,
    ):
        yield names


@pytest.mark.timeout(600)  # a hundred routes on the page of the API, four times
@pytest.mark.parametrize("seen", PAGES, ids=lambda seen: seen.name)
def test_nothing_is_in_anybodys_way(page: Page, axe: str, made: dict[str, str], seen: Seen) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light", reduced_motion="reduce")
    open_page(page, seen, made)
    page.evaluate(UNFOLD)
    page.evaluate(axe)
    found = page.evaluate(RUN, ALL)
    page.emulate_media(color_scheme="dark")
    page.evaluate(SETTLED)
    found += page.evaluate(RUN, COLOURS)
    page.set_viewport_size({"width": 390, "height": 844})
    found += page.evaluate(RUN, COLOURS)
    page.emulate_media(color_scheme="light")
    page.evaluate(SETTLED)
    found += page.evaluate(RUN, ALL)
    assert not found, "\n".join(found)
