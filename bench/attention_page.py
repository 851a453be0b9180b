"""How fluid `/ui/attention` is over a text of 200 tokens of SmolLM2: what each thing a reader does takes the browser.

Starts `inkling serve` on a free port with an empty data directory and opens the page in Chromium, without a screen.
Each action is done many times; told is the time of the page's own thread from the event until what it changed is laid
out and drawn to its canvases; 16.7 ms is a frame at 60 a second. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import time
from urllib.parse import quote

from playwright.sync_api import Page

from bench.browser import tell, tell_scrolling, tell_size, with_page

TEXT = (
    "The lighthouse keeper opened the door, looked at the calm sea, and wrote the hour into his book. " * 9
    + "The lighthouse keeper opened the door, looked"
)
TIMED = """
([action, rounds]) => {
  const box = (id) => document.getElementById(id);
  const point = (id, i) => {
    const area = box(id).getBoundingClientRect();
    const [x, y] = [area.left + ((i * 37) % area.width), area.top + ((i * 53) % area.height)];
    box(id).dispatchEvent(new PointerEvent("pointermove", { clientX: x, clientY: y, bubbles: true }));
  };
  const press = (id, key) => {
    box(id).dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
  };
  const choose = (name, i) => {
    const all = [...document.getElementsByName(name)];
    all[i % all.length].click();
  };
  const actions = {
    "point at a cell of the matrix": (i) => point("matrix", i),
    "move in the matrix by a key": () => press("matrix", "ArrowUp"),
    "point at a head among all": (i) => point("maps", i),
    "go to the token before": () => document.querySelector("[data-step=token][data-by='-1']").click(),
    "scores, masked, softmax": (i) => choose("stage", i),
    "arcs from, to, all": (i) => choose("arcs", i),
    "move in a table of numbers by a key": () => press("grid-products-cells", "ArrowDown"),
  };
  const times = [];
  for (let i = 0; i < rounds; i += 1) {
    const begun = performance.now();
    actions[action](i);
    document.body.getBoundingClientRect(); // lays out now what would be laid out before the next frame
    times.push(performance.now() - begun);
  }
  return times;
}
"""
ACTIONS = (
    "point at a cell of the matrix",
    "move in the matrix by a key",
    "point at a head among all",
    "go to the token before",
    "scores, masked, softmax",
    "arcs from, to, all",
    "move in a table of numbers by a key",
)


def until(page: Page, told: str) -> None:
    page.locator("#attention-status", has_text=told).wait_for(timeout=180_000)


def measure(page: Page, url: str, rounds: int) -> None:
    page.goto(f"{url}/ui/attention")
    until(page, "5 tokens")
    begun = time.perf_counter()
    page.goto(f"{url}/ui/attention?text={quote(TEXT)}&layer=10&head=4")
    until(page, "layers of")
    drawn = time.perf_counter() - begun
    print(f"{page.locator('#attention-status').inner_text()}, all drawn {drawn:.2f} s after the address was opened")
    tell_size(page)
    for action in ACTIONS:
        tell(action, page.evaluate(TIMED, [action, rounds]))
    tell_scrolling(page, "a table of numbers", "grid-products-cells", 131, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=40)
    rounds = parser.parse_args().rounds
    with_page(lambda page, url: measure(page, url, rounds))


if __name__ == "__main__":
    main()
