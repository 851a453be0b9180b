"""The glass box in a real Chromium: attention by pointer and keys, losses, the lens, the draw; text stays text."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

pytestmark = [pytest.mark.e2e, pytest.mark.browser]


def look(page: Page, text: str, tokens: int) -> None:
    page.locator("#text").fill(text)
    page.locator("#go").click()
    expect(page.locator("#inspect-status")).to_contain_text(f"{tokens} tokens · 30 layers of 9 heads")


@pytest.fixture
def box(page: Page) -> Page:
    """The page, once all its panels are drawn for its first text."""
    page.goto("/ui/inspect")
    expect(page.locator("#inspect-status")).to_contain_text("5 tokens · 30 layers of 9 heads")
    return page


def facts(page: Page, readout: str) -> dict[str, str]:
    names = page.locator(f"{readout} dt").all_inner_texts()
    return dict(zip(names, page.locator(f"{readout} dd").all_inner_texts(), strict=True))


def test_attention_by_keys_pointer_and_table(box: Page) -> None:
    box.locator("#matrix").focus()
    box.keyboard.press("End")  # the last row at its own token
    shown = facts(box, "#matrix-readout")
    assert (shown["looks from"], shown["to"]) == ("4", "4")
    assert shown["score"] == shown["masked"]
    box.keyboard.press("ArrowUp")
    shown = facts(box, "#matrix-readout")
    assert (shown["masked"], shown["attention"]) == ("−∞", "0, it comes later")
    assert re.fullmatch(r"-?\d+\.\d{3}", shown["score"])

    place = box.locator("#matrix").bounding_box()
    assert place is not None
    box.locator("#matrix").hover(position={"x": place["width"] - 10, "y": place["height"] - 10})
    assert facts(box, "#matrix-readout")["looks from"] == "4"

    box.locator("#matrix-details summary").click()
    rows = box.locator("#matrix-body tr")
    expect(rows).to_have_count(5)
    shares = [float(cell) for cell in rows.nth(4).locator("td").all_inner_texts()]
    assert sum(shares) == pytest.approx(1, abs=0.003)
    box.get_by_text("Masked", exact=True).click()
    expect(rows.nth(0).locator("td").nth(1)).to_have_text("−∞")
    box.get_by_text("Scores", exact=True).click()
    expect(rows.nth(0).locator("td").nth(1)).to_have_text(re.compile(r"\d"))


def test_layers_and_heads_are_stepped_within_their_bounds(box: Page) -> None:
    box.locator("#matrix-details summary").click()
    first = box.locator("#matrix-body").inner_text()
    box.get_by_role("button", name="Next layer").click()
    expect(box.locator("#layer")).to_have_value("1")
    expect(box.locator("#matrix-caption")).to_have_text("attention of layer 1, head 0")
    assert box.locator("#matrix-body").inner_text() != first
    box.get_by_role("button", name="Head before").click()
    expect(box.locator("#head")).to_have_value("0")
    box.locator("#layer").fill("99")
    box.locator("#layer").press("Tab")
    expect(box.locator("#layer")).to_have_value("29")
    expect(box.locator("#matrix-caption")).to_have_text("attention of layer 29, head 0")


def test_losses_lens_and_the_draw(box: Page) -> None:
    box.locator("#losses li").nth(2).hover()
    assert facts(box, "#loss-readout")["rank"] == "1"
    box.locator("#losses li").nth(2).focus()
    box.keyboard.press("End")
    assert facts(box, "#loss-readout")["position"] == "4"
    layers = box.locator("#lens-body tr")
    expect(layers).to_have_count(30)
    expect(layers.nth(29).locator("td").nth(4)).to_contain_text("Paris")

    expect(box.locator("#next-tokens li")).to_have_count(20)
    best = box.locator("#next-tokens li").first
    expect(best).to_contain_text("Paris")
    box.locator("#temperature").fill("0")
    expect(best.locator(".percent").nth(1)).to_have_text("100 %")
    expect(box.locator("#next-tokens .left-out")).to_have_count(19)
    box.locator("#temperature").fill("1")
    box.locator("#top-k").fill("3")
    expect(box.locator("#next-tokens .left-out")).to_have_count(17)
    box.locator("#top-p").fill("2")
    expect(box.locator("#next-error")).to_contain_text("top_p")
    expect(box.locator("#top-p")).to_have_attribute("aria-invalid", "true")


def test_text_is_shown_as_text_and_refusals_in_words(box: Page) -> None:
    look(box, "<img src=x onerror=alert(1)>", 12)
    assert box.locator("main img").count() == 0
    box.locator("#text").fill("")
    box.locator("#go").click()
    expect(box.locator("#inspect-error")).to_contain_text("text")
    expect(box.locator("#text")).to_have_attribute("aria-invalid", "true")
    box.locator("#text").fill("a " * 300)
    box.locator("#go").click()
    expect(box.locator("#inspect-error")).to_contain_text("up to 128 tokens")


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_not_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/ui/inspect")
    look(page, "The lighthouse keeper opened the door and looked at the calm sea for a long, long while.", 19)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
