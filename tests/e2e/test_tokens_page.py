"""Tokens in a real Chromium: live, pointer and keys, side by side, windows, merges, the address, large or odd texts."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.e2e.conftest import ROOT, Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

SENTENCE = "Hello, do you like tea?"


@pytest.fixture
def tokens(page: Page) -> Page:
    """The page, once all its parts are there."""
    page.goto(f"/ui/tokens?text={SENTENCE}")
    expect(page.locator("#count-tokens")).to_have_text("7")
    expect(page.locator("#batch-told")).to_contain_text("windows")
    expect(page.locator("#compare-cards .token")).to_have_count(14)
    return page


def type_text(page: Page, text: str, count: str) -> None:
    page.locator("#text").fill(text)
    expect(page.locator("#count-tokens")).to_have_text(count)


def chips(page: Page, within: str = "#token-list") -> list[str]:
    return page.locator(f"{within} [data-i]").all_inner_texts()


def in_the_address(page: Page) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_typing_shows_tokens_with_all_that_is_known_of_them(page: Page) -> None:
    page.goto("/ui/tokens")
    expect(page.locator("#token-list .token").first).to_be_visible()
    page.locator("#text").fill("")
    page.locator("#text").press_sequentially(SENTENCE)
    expect(page.locator("#count-tokens")).to_have_text("7")
    assert chips(page) == ["Hello", ",", "·do", "·you", "·like", "·tea", "?"]
    colours = page.locator("#token-list .token").evaluate_all(
        "all => all.map(e => getComputedStyle(e).backgroundColor)"
    )
    assert len(set(colours)) == 6

    page.locator("#token-list .token").nth(5).hover()
    known = page.locator("#token-readout")
    expect(known).to_contain_text("id8887")
    expect(known).to_contain_text("20 74 65 61")
    expect(known).to_contain_text("18–22")
    expect(known).to_contain_text("rank8,631: so many merges were learnt before")
    expect(known).to_contain_text("merged from ids")
    expect(page.locator("#id-list .lit")).to_have_text("8887")

    page.locator("#id-list .id").nth(0).hover()
    expect(page.locator("#token-list .lit")).to_have_text("Hello")
    expect(known).to_contain_text("15496")
    page.locator("#token-list .token").nth(6).hover()
    expect(known).to_contain_text("a byte is there from the start")


def test_tokens_are_walked_by_keyboard(tokens: Page) -> None:
    listbox = tokens.locator("#token-list")
    listbox.focus()
    tokens.keyboard.press("ArrowRight")
    tokens.keyboard.press("ArrowRight")
    expect(tokens.locator("#token-readout")).to_contain_text("20 64 6F")
    tokens.keyboard.press("End")
    expect(tokens.locator("#token-list .lit")).to_have_text("?")
    expect(tokens.locator("#id-list .lit")).to_have_text("30")
    active = listbox.get_attribute("aria-activedescendant")
    expect(tokens.locator(f"#{active}")).to_have_attribute("aria-posinset", "7")
    tokens.locator("#id-list").focus()
    tokens.keyboard.press("Home")
    expect(tokens.locator("#token-list .lit")).to_have_text("Hello")


def test_a_character_cut_into_tokens_is_shown_once_with_its_pieces(tokens: Page) -> None:
    type_text(tokens, "🙂", "2")
    expect(tokens.locator("#token-list .split__text")).to_have_text("🙂")
    pieces = tokens.locator("#token-list .piece")
    assert " ".join(pieces.all_inner_texts()) == "F0 9F 99 82"
    pieces.nth(1).hover()
    expect(tokens.locator("#token-readout")).to_contain_text("part 2 of 2")
    expect(tokens.locator("#id-list .lit")).to_have_count(1)


def test_text_is_shown_as_text_whatever_it_is(tokens: Page) -> None:
    tokens.locator("#text").fill("<script>alert(1)</script><img src=x onerror=alert(1)>\t\u202eabc\nשלום e\u0301 👩‍🚀")
    expect(tokens.locator("#token-list")).to_contain_text("onerror")
    assert tokens.locator("#token-list .mark--code").all_inner_texts()[0] == "U+202E"
    assert tokens.locator("main img, main script").count() == 0
    assert "⏎" in "".join(chips(tokens))
    tokens.get_by_text("Show spaces").click()
    assert tokens.locator("#token-list .mark--space").first.evaluate("e => getComputedStyle(e).opacity") == "0"


def test_an_answer_that_comes_late_is_not_shown(tokens: Page) -> None:
    """The first text's answer is held back until the second one's is on the page."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if "slow" in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    tokens.route("**/tokenize", hold)
    tokens.locator("#text").fill("slow slow slow")
    tokens.wait_for_timeout(400)
    type_text(tokens, "tea", "2")
    for route in held:
        route.continue_()
    tokens.wait_for_timeout(400)
    assert held
    assert "".join(chips(tokens)) == "tea"


def test_a_tokenizer_without_its_data_cannot_be_chosen_and_says_why(tokens: Page) -> None:
    missing = tokens.locator("#tokenizer option", has_text="cl100k_base")
    expect(missing).to_have_attribute("disabled", "")
    line = tokens.locator("#list tr", has_text="cl100k_base")
    line.locator("summary").click()
    expect(line).to_contain_text("curl")
    tokens.locator("#tokenizer").select_option("smollm2")
    expect(tokens.locator("#curl-command")).to_contain_text('"tokenizer":"smollm2"')
    expect(tokens.locator("#count-tokens")).to_have_text("7")


def test_the_commands_are_equal_to_the_page(tokens: Page) -> None:
    """Each of them, run as it stands, gives the ids that the page shows."""
    text = 'it\'s "tea" \\ <|endoftext|>'
    tokens.locator("#text").fill(text)
    tokens.locator("#specials").check()
    expect(tokens.locator("#token-list .token--special")).to_have_text("<|endoftext|>")
    tokens.get_by_text("The same as a command").first.click()
    ids = tokens.locator("#id-list .id").all_inner_texts()
    command = {name: tokens.locator(f"#{name}-command").inner_text() for name in ("curl", "python", "inkling")}

    def run(words: list[str]) -> str:
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout

    answer = json.loads(run(["bash", "-c", command["curl"]]))
    assert [str(token["id"]) for token in answer["tokens"]] == ids
    lines = run([sys.executable, "-c", command["python"]]).splitlines()
    assert [line.split()[0] for line in lines] == ids
    words = shlex.split(command["inkling"])
    assert words[0] == "inkling"
    told = run([sys.executable, "-m", "app.cli", words[1], "--json", *words[2:]])
    assert [str(token["id"]) for token in json.loads(told)["tokens"]] == ids


def test_several_tokenizers_stand_side_by_side(tokens: Page) -> None:
    type_text(tokens, "antidisestablishmentarianism 👣", "7")
    cards = tokens.locator("#compare-cards .card")
    expect(cards).to_have_count(2)
    expect(cards.nth(0)).to_contain_text("tokens7")
    expect(cards.nth(1).get_by_role("heading")).to_have_text("smollm2")
    tokens.locator("#compare-choices").get_by_text("p50k_base").click()
    expect(cards).to_have_count(3)
    expect(cards.nth(2)).to_contain_text("ids it has50,281")
    expect(cards.nth(2).locator(".token").first).to_have_text("ant")
    cards.nth(2).locator(".token").first.hover()
    expect(cards.nth(2).locator(".card__note")).to_contain_text("id 415")
    tokens.wait_for_url(re.compile("beside=gpt2%2Csmollm2%2Cp50k_base"))


def test_windows_slide_over_the_text(tokens: Page) -> None:
    told = tokens.locator("#batch-told")
    expect(told).to_contain_text("3 windows, fewer than a batch")
    tokens.locator("#batch-size").fill("2")
    expect(told).to_contain_text("Batch 1 of 1; 3 windows")
    tables = tokens.locator("#window-pairs table")
    expect(tables).to_have_count(2)
    assert tables.nth(1).locator("tr").nth(0).locator("td").all_inner_texts() == [",", "·do", "·you", "·like"]
    assert tables.nth(1).locator("tr").nth(1).locator("td").all_inner_texts() == ["·do", "·you", "·like", "·tea"]

    def lines(i: int) -> str:
        return str(tokens.locator("#window-list .token").nth(i).evaluate("e => e.style.backgroundImage"))

    assert [lines(i).count("ink-1") > 0 for i in range(7)] == [True] * 5 + [False] * 2
    assert "repeating" in lines(4)  # where the first window's last target is
    assert lines(6) == ""
    tokens.locator("#stride").fill("2")
    tokens.get_by_text("Leave out a last batch").click()
    expect(told).to_contain_text("2 windows over 7 tokens")
    tokens.locator("#batch-size").fill("1")
    expect(told).to_contain_text("Batch 1 of 2")
    tokens.get_by_role("button", name="Next batch").click()
    expect(told).to_contain_text("Batch 2 of 2")
    expect(tables.first.locator("caption")).to_have_text("Window 1, tokens 2 to 5")
    expect(tokens.get_by_role("button", name="Next batch")).to_be_disabled()
    tokens.get_by_text("Shuffle", exact=True).click()
    expect(told).to_contain_text(re.compile(r"Shuffled by seed \d+"))
    tokens.locator("#max-length").fill("99")
    expect(tokens.locator("#windows-error")).to_contain_text("7 tokens hold no window")
    tokens.locator("#max-length").fill("0")
    expect(tokens.locator("#max-length-refused")).to_be_visible()
    expect(tables).to_have_count(0)


def test_a_token_plays_the_merges_of_its_word(tokens: Page) -> None:
    tokens.locator("#token-list .token").nth(4).click()
    expect(tokens.locator("#merge-text")).to_have_value(" like")
    expect(tokens.locator("#merge-told")).to_contain_text("5 bytes, each a piece of its own")
    tokens.locator("#token-list").focus()
    tokens.keyboard.press("Home")
    tokens.keyboard.press("Enter")
    expect(tokens.locator("#merge-text")).to_have_value("Hello,")
    tokens.wait_for_url(re.compile("word=Hello%2C"))


def test_the_address_is_the_state_and_goes_back(tokens: Page) -> None:
    tokens.locator("#tokenizer").select_option("smollm2")
    tokens.locator("#stride").fill("3")
    tokens.wait_for_url(re.compile("stride=3"))
    state = {"text": SENTENCE, "tokenizer": "smollm2", "stride": "3"}
    assert in_the_address(tokens) == state
    tokens.reload()
    expect(tokens.locator("#batch-told")).to_contain_text("window")
    expect(tokens.locator("#tokenizer")).to_have_value("smollm2")
    expect(tokens.locator("#stride")).to_have_value("3")
    tokens.wait_for_timeout(500)
    assert in_the_address(tokens) == state
    tokens.get_by_role("button", name="emoji").click()
    expect(tokens.locator("#token-list .split").first).to_be_visible()
    assert "emoji" not in tokens.url
    tokens.go_back()
    expect(tokens.locator("#text")).to_have_value(SENTENCE)
    expect(tokens.locator("#count-tokens")).to_have_text("7")


def test_a_large_text_stays_fluid_as_only_what_is_seen_is_in_the_page(tokens: Page) -> None:
    words = "The lighthouse keeper wrote the hour 1,969 into his book. " * 1725  # 100 kB
    tokens.locator("#text").evaluate("(field, text) => { field.value = text }", words)
    tokens.locator("#text").press("End")
    tokens.keyboard.type("x")
    expect(tokens.locator("#count-tokens")).to_have_text(re.compile(r"^2\d,\d{3}$"))
    assert tokens.locator("#token-list [data-i]").count() < 400
    assert tokens.locator("*").count() < 3000
    tokens.locator("#token-list").focus()
    tokens.keyboard.press("End")
    expect(tokens.locator("#token-list .lit")).to_have_text("·x")
    expect(tokens.locator("#id-list .lit")).to_be_visible()
    expect(tokens.locator("#token-readout")).to_contain_text("characters100")
    tokens.locator("#id-list").evaluate("list => { list.scrollTop = 0 }")
    tokens.locator("#id-list .id").first.hover()
    expect(tokens.locator("#token-list .lit")).to_have_text("The")  # brought into sight
    assert "text" not in in_the_address(tokens)  # too long for an address
    expect(tokens.locator("#curl-command")).to_contain_text("too long for a command line")


def test_a_token_wider_than_the_page_goes_over_several_lines(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto("/ui/tokens?text=" + "-" * 64 + "a")
    expect(page.locator("#count-tokens")).to_have_text("2")
    pieces = page.locator("#token-list [data-i='0']")
    assert pieces.count() > 1
    assert "".join(pieces.all_inner_texts()) == "-" * 64
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_megabyte_is_shown_and_more_is_refused_in_words(tokens: Page) -> None:
    paste = "(field, text) => { field.value = text; field.dispatchEvent(new Event('input', { bubbles: true })) }"
    tokens.locator("#text").evaluate(paste, "sea " * 250_000)
    expect(tokens.locator("#count-tokens")).to_have_text("250,001")
    assert tokens.locator("*").count() < 4000
    tokens.locator("#text").evaluate(paste, "sea " * 300_000)
    expect(tokens.locator("#token-error")).to_contain_text("1.2 MB; up to 1.0 MB can be shown")
    expect(tokens.locator("#token-list .token")).to_have_count(0)
    type_text(tokens, "tea", "2")


def test_without_a_script_the_form_is_sent_and_tokens_are_listed(chromium: Browser, service: Service) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/")
    page.locator("#tokens input").fill("tea & <b>")
    page.get_by_role("button", name="See its tokens").click()
    expect(page.locator("#text")).to_have_value("tea & <b>")
    page.get_by_role("button", name="Show the tokens").click()
    expect(page.locator("#plain tbody tr")).to_have_count(6)
    expect(page.locator("#plain tbody tr").first).to_contain_text("74 65")
    assert not page.locator("#compare").is_visible()
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_not_wider_than_the_window(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto("/ui/tokens?text=Hello 👩‍🚀 שלום")
    expect(page.locator("#batch-told")).to_contain_text("window")
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
