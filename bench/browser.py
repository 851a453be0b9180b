"""A real Chromium for a benchmark's page, without a screen, and what both benchmarks of pages measure and tell."""

from __future__ import annotations

import os
import shutil
import statistics
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, sync_playwright

from bench.processes import started

SCROLLED = """
async ([id, step, rounds]) => {
  const list = document.getElementById(id);
  const times = [];
  for (let i = 0; i < rounds; i += 1) {
    const frames = new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    const begun = performance.now();
    list.scrollTop = ((i + 1) * step) % (list.scrollHeight - list.clientHeight);
    await frames;
    times.push(performance.now() - begun);
  }
  return times;
}
"""


def with_page(measure: Callable[[Page, str], None], command: str = "serve") -> None:
    """Start `inkling serve` (or `up`) on an empty data directory, open a page and let `measure` use both."""
    path = next(found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name)))
    with started(command) as (url, _), sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        print(f"load {os.getloadavg()[0]:.1f} before")
        measure(browser.new_page(viewport={"width": 1440, "height": 900}), url)
        print(f"load {os.getloadavg()[0]:.1f} after")
        browser.close()


def tell_size(page: Page) -> None:
    print(f"elements in the page: {page.evaluate('document.querySelectorAll(`*`).length'):,}")


def tell(action: str, times: list[Any]) -> None:
    low, high = min(times), max(times)
    print(f"{action}: median {statistics.median(times):.1f} ms ({low:.1f} to {high:.1f})", flush=True)


def tell_scrolling(page: Page, what: str, place: str, step: int, rounds: int) -> None:
    """Two frames are 33.3 ms at 60 a second, whatever is drawn in them, as long as it is drawn in time."""
    tell(f"scroll {what}, two frames", page.evaluate(SCROLLED, [place, step, rounds]))
