"""Attention in a real Chromium: four stages, all heads, one head, arcs, lens, losses; address, refusals, long texts."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SENTENCE = "The lighthouse keeper opened the door, looked at the calm sea, and wrote the hour into his book. "


def look(page: Page, text: str, tokens: int, told: str = "30 layers of 9 heads") -> None:
    page.locator("#text").fill(text)
    page.locator("#go").click()
    expect(page.locator("#attention-status")).to_contain_text(f"{tokens} tokens · {told}")


@pytest.fixture
def box(page: Page) -> Page:
    """The page, once all its panels are drawn for its first text."""
    page.goto("/ui/attention")
    expect(page.locator("#attention-status")).to_contain_text("5 tokens · 30 layers of 9 heads")
    return page


@pytest.fixture
def tiny(page: Page, tiny_models: list[str]) -> Page:
    """The same with a small model, in no time."""
    page.goto(f"/ui/attention?text=keep the sea calm&model={tiny_models[0]}&layer=1&head=1&token=7")
    expect(page.locator("#attention-status")).to_contain_text("13 tokens")
    return page


def facts(page: Page, readout: str) -> dict[str, str]:
    names = page.locator(f"{readout} dt").all_inner_texts()
    return dict(zip(names, page.locator(f"{readout} dd").all_inner_texts(), strict=True))


def number(text: str) -> float:
    return float(text.replace("−∞", "-inf").replace("−", "-"))


def cells(page: Page, grid: str, row: str) -> list[float]:
    """The numbers in sight of the row whose name begins so."""
    found = page.locator(f"#grid-{grid} .numgrid__row", has=page.get_by_role("rowheader", name=row))
    return [number(cell) for cell in found.first.get_by_role("gridcell").all_inner_texts()]


def named_in_the_address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_the_four_stages_are_each_others_numbers(box: Page) -> None:
    assert number(box.locator("#grid-queries [role=gridcell]").first.inner_text()) != 0
    query, key = cells(box, "queries", "4 ·is"), cells(box, "keys", "3 ·France")
    products = cells(box, "products", "3 ·France")
    for place in range(min(len(query), 3)):
        assert products[1 + place] == pytest.approx(query[place] * key[place], abs=0.004)
    weights = [cells(box, "weights", f"{i} ") for i in range(5)]
    assert weights[3][0] == products[0]
    for product, scaled, masked, power, weight in weights:
        assert scaled == pytest.approx(product / 8, abs=0.001)
        assert masked == scaled
        assert weight == pytest.approx(power / sum(row[3] for row in weights), abs=0.002)
    assert sum(row[4] for row in weights) == pytest.approx(1, abs=0.003)
    context = cells(box, "context", "Σ context")
    parts = [cells(box, "context", f"{i} ") for i in range(5)]
    value = cells(box, "values", "2 ·of")
    assert parts[2][1] == pytest.approx(weights[2][4] * value[0], abs=0.001)
    for place in range(1, 4):
        assert context[place] == pytest.approx(sum(part[place] for part in parts), abs=0.004)


def test_a_table_of_numbers_goes_by_keys_and_tells_all_digits(box: Page) -> None:
    grid = box.locator("#grid-queries [role=grid]")
    grid.focus()
    box.keyboard.press("End")
    told = box.locator("#grid-queries .numgrid__told")
    expect(told).to_have_text(re.compile(r"^0 The, 63: −?\d\.\d{5,}"))
    expect(grid.get_by_role("columnheader", name="63")).to_be_visible()
    box.keyboard.press("ArrowDown")
    expect(told).to_have_text(re.compile(r"^1 ·capital, 63: "))
    active = grid.get_attribute("aria-activedescendant")
    assert active
    expect(box.locator(f"#{active}")).to_have_class(re.compile("here"))
    box.locator("#grid-values [role=gridcell]").first.hover()
    expect(box.locator("#grid-values .numgrid__told")).to_have_text(re.compile(r"^0 The, 0: "))


def test_another_token_asks_for_nothing_and_a_masked_one_says_so(box: Page) -> None:
    asked: list[str] = []
    box.on("request", lambda request: "/static/" in request.url or asked.append(request.url))  # the icon, perhaps
    box.locator("#losses li").nth(2).click()
    expect(box.locator("#token")).to_have_value("2")
    assert cells(box, "weights", "3 ·France")[2:] == [float("-inf"), 0, 0]
    expect(box.locator("#stage-3-note")).to_contain_text("÷ √64")
    expect(box.locator("#losses [aria-current]")).to_contain_text("of")
    expect(box.locator("#words .chosen")).to_contain_text("of")
    expect(box.locator("#lens-head .chosen")).to_contain_text("of")
    assert asked == []


def test_attention_by_keys_pointer_and_table(box: Page) -> None:
    box.locator("#matrix").focus()
    box.keyboard.press("End")  # the last row at its own token
    shown = facts(box, "#matrix-readout")
    assert (shown["looks from"], shown["to"]) == ("4", "4")
    assert shown["score"] == shown["masked"]
    box.keyboard.press("ArrowUp")
    shown = facts(box, "#matrix-readout")
    assert (shown["masked"], shown["attention"]) == ("−∞", "0, it comes later")
    assert re.fullmatch(r"−?\d+\.\d{3}", shown["score"])
    box.keyboard.press("Enter")
    expect(box.locator("#token")).to_have_value("3")

    place = box.locator("#matrix").bounding_box()
    assert place is not None
    box.locator("#matrix").hover(position={"x": place["width"] - 10, "y": place["height"] - 10})
    assert facts(box, "#matrix-readout")["looks from"] == "4"

    box.locator("#matrix-details summary").click()
    expect(box.locator("#grid-matrix .numgrid__row")).to_have_count(6)
    assert sum(cells(box, "matrix", "4 ·is")) == pytest.approx(1, abs=0.003)
    box.get_by_text("Masked", exact=True).click()
    assert cells(box, "matrix", "0 The")[1] == float("-inf")
    box.get_by_text("Scores", exact=True).click()
    assert cells(box, "matrix", "0 The")[1] != float("-inf")


def painted(canvas: Locator) -> bytes:
    return canvas.screenshot()


def test_all_heads_are_drawn_and_lead_to_one(box: Page) -> None:
    maps = box.locator("#maps")
    assert facts(box, "#maps-readout")["layer"] == "0"
    maps.focus()
    box.keyboard.press("ArrowRight")
    box.keyboard.press("ArrowDown")
    shown = facts(box, "#maps-readout")
    assert (shown["layer"], shown["head"]) == ("1", "1")
    assert box.locator("#layer").input_value() == "0"  # only looked at
    box.keyboard.press("Enter")
    expect(box.locator("#layer")).to_have_value("1")
    expect(box.locator("#head")).to_have_value("1")
    expect(box.locator("#stage-1-note")).to_contain_text("Layer 1 reads each token as a vector; head 1")

    box.get_by_role("button", name="the token before").click()
    expect(box.locator("#maps-readout")).to_contain_text("to the token before")
    share = float(facts(box, "#maps-readout")["to the token before"].removesuffix(" %"))
    assert share > 50  # SmolLM2 has heads that do little else
    box.get_by_role("button", name="itself").click()
    assert float(facts(box, "#maps-readout")["to itself"].removesuffix(" %")) > 30

    before = painted(maps)
    box.emulate_media(color_scheme="dark")
    assert painted(maps) != before


def test_layers_heads_and_tokens_are_stepped_within_their_bounds(box: Page) -> None:
    box.locator("#matrix-details summary").click()
    first = cells(box, "matrix", "4 ·is")
    box.get_by_role("button", name="Next layer").click()
    expect(box.locator("#layer")).to_have_value("1")
    expect(box.locator("#matrix")).to_have_attribute("aria-label", re.compile("attention of layer 1, head 0"))
    assert cells(box, "matrix", "4 ·is") != first
    box.get_by_role("button", name="Head before").click()
    expect(box.locator("#head")).to_have_value("0")
    box.locator("#layer").fill("99")
    box.locator("#layer").press("Tab")
    expect(box.locator("#layer")).to_have_value("29")
    expect(box.locator("#matrix")).to_have_attribute("aria-label", re.compile("attention of layer 29, head 0"))
    box.get_by_role("button", name="Next token").click()
    expect(box.locator("#token")).to_have_value("4")


def test_arcs_between_words(box: Page) -> None:
    words = box.locator("#words li")
    expect(words).to_have_count(5)
    shares = [float(text.removesuffix(" %")) for text in words.locator(".share").all_inner_texts() if text]
    assert sum(shares) == pytest.approx(100, abs=3)
    from_it = painted(box.locator("#words-box"))
    box.get_by_text("It is looked at by").click()
    assert painted(box.locator("#words-box")) != from_it
    assert words.nth(0).locator(".share").inner_text() == ""  # nobody is looked at by who comes before
    words.nth(1).focus()
    box.keyboard.press("Enter")
    expect(box.locator("#token")).to_have_value("1")
    expect(box.locator("#words-note")).to_contain_text("from “·capital”")
    box.get_by_text("All from 10 %").click()
    expect(box.locator("#words .chosen")).to_have_count(0)
    words.nth(3).hover()
    expect(box.locator("#words-note")).to_contain_text("“·France” gives itself")


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
    expect(box.locator("#top-p-refused")).to_contain_text("1")
    expect(box.locator("#top-p")).to_have_attribute("aria-invalid", "true")
    expect(box.locator("#top-p")).to_be_focused()


def test_the_address_is_the_state_and_goes_back(tiny: Page, tiny_models: list[str]) -> None:
    expect(tiny.locator("#layer")).to_have_value("1")
    expect(tiny.locator("#token")).to_have_value("7")
    expect(tiny.locator("#words .chosen")).to_have_text(re.compile("e"))
    tiny.get_by_role("button", name="Next token").click()
    tiny.wait_for_url(re.compile("token=8"))
    state = {"text": "keep the sea calm", "model": tiny_models[0], "layer": "1", "head": "1", "token": "8"}
    assert named_in_the_address(tiny) == state
    tiny.reload()
    expect(tiny.locator("#attention-status")).to_contain_text("13 tokens")
    assert named_in_the_address(tiny) == state
    expect(tiny.locator("#token")).to_have_value("8")
    look(tiny, "one", 3, "2 layers of")
    assert named_in_the_address(tiny)["text"] == "one"
    tiny.go_back()
    expect(tiny.locator("#attention-status")).to_contain_text("13 tokens")
    expect(tiny.locator("#text")).to_have_value("keep the sea calm")
    expect(tiny.locator("#token")).to_have_value("8")


def test_the_address_of_before_still_leads_here(page: Page) -> None:
    page.goto("/ui/inspect?text=one%20two")
    expect(page.locator("#attention-status")).to_contain_text("2 tokens")
    assert urlsplit(page.url).path == "/ui/attention"


def test_text_is_shown_as_text_and_refusals_at_their_field(box: Page) -> None:
    look(box, "<img src=x onerror=alert(1)>", 12)
    assert box.locator("main img").count() == 0
    look(box, "שלום עם é́ا", 13)
    for field, value, told in (
        ("#text", "", "Must not be empty"),
        ("#text", "a " * 600, "shows up to 512 tokens"),
        ("#checkpoint", "job_none@3", "job_none@3"),
    ):
        box.locator(field).fill(value)
        box.locator("#go").click()
        expect(box.locator(f"{field}-refused")).to_contain_text(told)
        expect(box.locator(field)).to_have_attribute("aria-invalid", "true")
        expect(box.locator(field)).to_be_focused()
        box.locator("#text").fill("so")
        box.locator("#checkpoint").fill("")
        expect(box.locator(".refused")).to_have_count(0)


def test_a_megabyte_is_refused_in_words_and_the_page_goes_on(box: Page) -> None:
    box.locator("#text").evaluate("(field, text) => { field.value = text }", "sea " * 300_000)
    box.locator("#go").click()
    expect(box.locator("#text-refused")).to_contain_text("bytes")
    look(box, "The capital of Spain is", 5)
    assert named_in_the_address(box)["text"] == "The capital of Spain is"


def test_under_a_refusal_stands_no_picture_of_the_text_before(box: Page) -> None:
    box.locator("#matrix-details summary").click()
    box.locator("#top-p").fill("2")  # this panel's own refusal takes its own picture alone
    expect(box.locator("#top-p-refused")).to_be_visible()
    expect(box.locator("#next-tokens li")).to_have_count(0)
    expect(box.locator("#losses li")).to_have_count(5)
    box.locator("#top-p").fill("")
    expect(box.locator("#next-tokens li")).to_have_count(20)

    box.locator("#text").fill("")
    box.locator("#go").click()
    expect(box.locator("#text-refused")).to_be_visible()
    for drawn in (
        "#losses li",
        "#next-tokens li",
        "#lens-body tr",
        "#lens-head tr",
        "#words li",
        "[role=gridcell]",
        "main dt",
    ):
        expect(box.locator(drawn)).to_have_count(0)
    for canvas in ("#matrix", "#maps", "#arcs"):
        assert box.locator(canvas).evaluate("canvas => canvas.width") == 0
    box.get_by_text("Masked", exact=True).click()
    box.get_by_text("All from 10 %").click()
    assert box.locator("#matrix").evaluate("canvas => canvas.width") == 0
    look(box, "The capital of Spain is", 5)
    expect(box.locator("#lens-body tr")).to_have_count(30)
    expect(box.locator("#grid-matrix .numgrid__row")).to_have_count(6)


def test_two_hundred_tokens_are_drawn_but_only_what_is_in_sight_is_in_the_page(page: Page) -> None:
    page.goto("/ui/attention")
    look(page, SENTENCE * 9 + "The lighthouse keeper opened the door, looked at", 198)
    assert page.locator("#grid-products [role=gridcell]").count() < 200  # of 198 rows of 65 numbers
    rows = page.locator("#grid-products [role=row]")
    expect(page.locator("#grid-products [role=grid]")).to_have_attribute("aria-rowcount", "199")
    expect(rows.last).to_contain_text("197 ·at")  # the token that is looked from
    page.locator("#grid-products [role=grid]").evaluate("grid => { grid.scrollTop = 0 }")
    expect(rows.nth(1)).to_contain_text("0 The")
    page.locator("#grid-products [role=grid]").evaluate("grid => { grid.scrollTo(1e6, 1e6) }")
    expect(rows.last).to_contain_text("197 ·at")
    expect(rows.first.get_by_role("columnheader").last).to_have_text("q·k 63")
    expect(page.locator("#lens-note")).to_contain_text("Tokens 186 to 197 of 198")
    page.locator("#words li").nth(20).click()
    expect(page.locator("#lens-note")).to_contain_text("Tokens 14 to 25 of 198")
    expect(page.locator("#lens-head .chosen")).to_contain_text(".")
    assert page.locator("*").count() < 5000


def test_without_a_script_the_form_posts_and_tables_answer(chromium: Browser, service: Service) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/attention")
    assert not page.locator("#maps-box").is_visible()
    page.locator("#text").fill("The capital of France is")
    page.locator("#layer").fill("3")
    page.locator("#head").fill("2")
    page.locator("#go").click()
    expect(page.locator("#plain h2")).to_have_text("Token 4 in layer 3, head 2")
    expect(page.locator("#plain")).to_contain_text("Paris")
    expect(page.locator("#text")).to_have_value("The capital of France is")
    page.locator("#layer").fill("77")
    page.locator("#go").click()
    expect(page.locator("#layer-refused")).to_contain_text("77 is none of the layers")
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_not_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/ui/attention")
    look(page, "The lighthouse keeper opened the door and looked at the calm sea for a long, long while.", 19)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
