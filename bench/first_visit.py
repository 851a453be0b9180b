"""What a browser that has never been here waits for and loads, page by page, until a page's script has run.

Starts `inkling serve` on a free port with an empty data directory and opens each page in Chromium, without a screen,
with an empty cache each time. A page is interactive once its modules have run, as `DOMContentLoaded` waits for them.
Our script is counted unpacked; what a page loads only when it is needed counts where it came within a second. Needs
Playwright and Chromium.
"""

from __future__ import annotations

import argparse

from playwright.sync_api import Page

from bench.browser import tell, with_page

PAGES = (
    "/",
    "/ui/tokens",
    "/ui/generate",
    "/ui/embeddings",
    "/ui/attention",
    "/ui/datasets",
    "/ui/models",
    "/ui/train",
)
LATER_MS = 1_000
LOADED = """
() => {
  const script = performance.getEntriesByType("resource").filter((each) => each.name.includes("/static/js/"));
  return [
    performance.getEntriesByType("navigation")[0].domContentLoadedEventEnd,
    script.reduce((sum, each) => sum + each.decodedBodySize, 0),
    performance.getEntriesByType("resource").some((each) => each.name.includes("plotly")),
  ];
}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds

    def visit(page: Page, url: str) -> None:
        browser = page.context.browser
        assert browser is not None, "the page is of a browser that was launched"
        for path in PAGES:
            found = []
            for _ in range(rounds):
                with browser.new_context() as fresh:
                    opened = fresh.new_page()
                    opened.goto(url + path)
                    opened.wait_for_timeout(LATER_MS)
                    found.append(opened.evaluate(LOADED))
            tell(f"{path}, until it is interactive", [one[0] for one in found])
            plotly = "with" if any(one[2] for one in found) else "without"
            print(f"  {max(one[1] for one in found):,} bytes of our script, {plotly} Plotly")

    with_page(visit)


if __name__ == "__main__":
    main()
