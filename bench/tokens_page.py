"""How fluid `/ui/tokens` is over a large text: what typing a letter and scrolling take, and what is in the page.

Starts `inkling serve` on a free port with an empty data directory and opens the page in Chromium, without a screen.
Told is the time from the letter until the page shows the new number of tokens, pause and server included, and of
scrolling two frames of the tokens, 16.7 ms each at 60 a second. Needs Playwright and Chromium.
"""

from __future__ import annotations

import argparse
import time

from playwright.sync_api import Page

from bench.browser import tell, tell_scrolling, tell_size, with_page

WORDS = "The lighthouse keeper opened the door, looked at the calm sea, and wrote the hour 1,969 into his book. "
TYPED = """
async ([text, rounds]) => {
  const field = document.getElementById("text");
  const counted = document.getElementById("count-characters");
  const times = [];
  for (let i = 0; i < rounds; i += 1) {
    const next = new Promise((done) => {
      const watching = new MutationObserver(() => { watching.disconnect(); requestAnimationFrame(done); });
      watching.observe(counted, { childList: true });
    });
    const begun = performance.now();
    field.value = text + "x".repeat(i + 1);
    field.dispatchEvent(new Event("input", { bubbles: true }));
    await next;
    times.push(performance.now() - begun);
  }
  return times;
}
"""


def measure(page: Page, url: str, size: int, rounds: int) -> None:
    page.goto(f"{url}/ui/tokens")
    page.locator("#token-list .token").first.wait_for()
    text = (WORDS * (size // len(WORDS) + 1))[:size]
    typed = page.evaluate(TYPED, [text, rounds])
    print(f"{size:,} characters, {page.locator('#count-tokens').inner_text()} tokens")
    time.sleep(5)  # the other parts of the page have read it, too
    tell_size(page)
    tell("a letter typed, until it is counted", typed)
    tell_scrolling(page, "the tokens", "token-list", 7919, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds

    def of_all_sizes(page: Page, url: str) -> None:
        for size in (1_000, 100_000, 1_000_000):
            measure(page, url, size, rounds)

    with_page(of_all_sizes)


if __name__ == "__main__":
    main()
