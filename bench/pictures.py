"""Draw every page as a person sees it into a folder: light and dark, on a wide screen and on a phone.

    python -m bench.pictures docs/images [NAME ...]

`inkling up` runs for it on an empty data directory, trains what the pages show, and ends afterwards. The pictures are
WebP, named `PAGE-light-1440.webp` and so on; of a long page they show its beginning.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path
from typing import Literal

import httpx
from playwright.sync_api import CDPSession, Page

from bench.all_pages import PAGES, Seen, all_made, open_page
from bench.browser import with_page

MODEL = "smollm2-135m-instruct"
STEPS = 240  # enough for a curve that falls and a text one can read
SIZES = {1440: 900, 390: 844}
"""Widths, in pixels of a style sheet, and the heights that belong to them."""
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
MOST_SCREENS = 3
QUALITY = 45  # of 100; letters can be read from about 40


def draw_all(page: Page, url: str, folder: Path, names: set[str]) -> None:
    """Draw the pages of these names, or all where none is named."""
    folder.mkdir(parents=True, exist_ok=True)
    session = page.context.new_cdp_session(page)
    with httpx.Client(base_url=url, timeout=60) as client, all_made(client, MODEL, STEPS) as made:
        for seen in PAGES:
            if not names or seen.name in names:
                _draw(page, session, url, seen, made, folder)


def _draw(page: Page, session: CDPSession, url: str, seen: Seen, made: dict[str, str], folder: Path) -> None:
    here = Seen(seen.name, seen.route, url + seen.address, seen.shows, seen.presses, seen.then)
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme="light", reduced_motion="reduce")
        open_page(page, here, made)  # anew, as what a script draws it draws for the width it finds
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            _see_all(page)
            page.evaluate("scrollTo(0, 0); document.activeElement.blur()")
            page.wait_for_timeout(300)  # for plots, which are drawn anew
            path = folder / f"{seen.name}-{scheme}-{width}.webp"
            path.write_bytes(_picture(page, session, width, height))
            print(f"{path} {path.stat().st_size / 1000:.0f} kB", flush=True)


def _see_all(page: Page) -> None:
    """Scroll through the page, as some parts are drawn when they come into view."""
    for screen in range(MOST_SCREENS):
        page.evaluate("(screen) => scrollTo(0, screen * innerHeight)", screen)
        page.wait_for_timeout(150)


def _picture(page: Page, session: CDPSession, width: int, height: int) -> bytes:
    tall = min(page.evaluate("document.documentElement.scrollHeight"), MOST_SCREENS * height)
    clip: dict[str, float] = {"x": 0, "y": 0, "width": width, "height": tall, "scale": 1}
    asked = {"format": "webp", "quality": QUALITY, "clip": clip, "captureBeyondViewport": True}
    return base64.b64decode(session.send("Page.captureScreenshot", asked)["data"])


if __name__ == "__main__":
    with_page(lambda page, url: draw_all(page, url, Path(sys.argv[1]), set(sys.argv[2:])), command="up")
