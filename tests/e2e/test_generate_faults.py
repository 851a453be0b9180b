"""What befalls the page that generates: broken streams, a server that comes again, hostile text, no script."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PATIENCE_MS, ROOT, Service, Watch, free_port, start_service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
STRANGE = "שלום עולם, مرحبا e\u0301\u0323 \u202eabc"
BROKEN = "The connection ended before the text did; what arrived is kept"


@pytest.fixture
def opened(page: Page) -> Page:
    page.goto("/ui/generate")
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)
    return page


def write(page: Page, prompt: str, new_tokens: int = 6, seed: int = 7) -> str:
    page.locator("#prompt").fill(prompt)
    page.locator("#max-new-tokens").fill(str(new_tokens))
    page.locator("#seed").fill(str(seed))
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text("new token")
    expect(page.locator("#generate[aria-busy]")).to_have_count(0)
    return "".join(page.locator("#output .out").all_inner_texts())


@pytest.fixture
def own_service(tmp_path: Path, assets: Path) -> Callable[[], Service]:
    """Starts a server of the test's own; each time at the same address, with the same data."""
    port = str(free_port())
    started: list[Service] = []

    def start() -> Service:
        started.append(start_service(tmp_path, "serve", port=port))
        return started[-1]

    yield start
    for service in started:
        service.stop()


def test_a_stream_that_breaks_keeps_what_came_and_goes_on_once_the_server_is_back(
    own_service: Callable[[], Service], chromium: Browser
) -> None:
    service = own_service()
    context = chromium.new_context(base_url=service.url)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    watch = Watch(service.url)
    watch.over(page)
    page.goto("/ui/generate")
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)
    page.locator("#prompt").fill("Once upon a time")
    page.locator("#max-new-tokens").fill("1500")
    page.locator("#go").click()
    expect(page.locator("#output .out").nth(4)).to_be_attached()
    service.process.kill()
    service.process.wait()
    status = page.locator("#generate-status")
    expect(status).to_contain_text(BROKEN)
    expect(status).to_contain_text("Not kept on the server: The server cannot be reached")
    kept = page.locator("#output .out").all_inner_texts()
    assert len(kept) >= 5
    page.get_by_role("button", name="Go on from here").click()
    expect(page.locator("#generate-error")).to_contain_text("The server cannot be reached. Is it still running?")
    assert page.locator("#output .out").all_inner_texts() == kept

    own_service()
    page.locator("#max-new-tokens").fill("5")
    page.get_by_role("button", name="Go on from here").click()
    expect(status).to_contain_text("5 new tokens")
    expect(page.locator("#generate-error")).to_be_hidden()
    after = page.locator("#output .out").all_inner_texts()
    assert (after[: len(kept)], len(after)) == (kept, len(kept) + 5)
    expect(page).to_have_url(re.compile("branch=branch_"))
    page.reload()
    expect(page.locator("#output .out")).to_have_count(len(after))
    assert watch.complaints == []
    context.close()


def test_an_answer_that_ends_in_an_error_keeps_what_came(opened: Page) -> None:
    token = '{"id":260,"text":" the","bytes":[32],"logprob":-1,"sampled_logprob":-1,"top":[]}'
    events = [f'{{"index":0,"token":{token}}}', '{"error":{"message":"the engine broke","code":"internal_error"}}']
    body = "".join(f"data: {event}\n\n" for event in events)
    opened.route("**/generate", lambda route: route.fulfill(content_type="text/event-stream", body=body))
    opened.locator("#go").click()
    expect(opened.locator("#generate-error")).to_have_text("The engine broke.")
    expect(opened.locator("#generate-status")).to_contain_text(BROKEN)
    expect(opened.locator("#output .out")).to_have_text(" the", use_inner_text=True)
    expect(opened.get_by_role("button", name="Go on from here")).to_be_visible()


def test_stop_keeps_what_arrived_and_it_can_be_gone_on_with(opened: Page) -> None:
    opened.locator("#max-new-tokens").fill("1500")
    opened.locator("#go").click()
    expect(opened.locator("#output .out").nth(3)).to_be_attached()
    opened.keyboard.press("Escape")
    expect(opened.locator("#generate-status")).to_contain_text("Stopped by you; what arrived is kept")
    kept = opened.locator("#output .out").all_inner_texts()
    opened.locator("#max-new-tokens").fill("3")
    opened.get_by_role("button", name="Go on from here").click()
    expect(opened.locator("#output .out")).to_have_count(len(kept) + 3)
    expect(opened.locator("#ways-tree li li")).to_have_count(1)


def test_a_paste_of_a_megabyte_is_refused_in_words(opened: Page) -> None:
    asked: list[str] = []
    opened.on("request", lambda request: request.method == "POST" and asked.append(request.url))
    opened.locator("#prompt").fill("sea " * 300_000)
    error = opened.locator("#generate-error")
    expect(error).to_contain_text("The text has 1.2 MB; up to 1.0 MB can be sent at a time.")
    opened.locator("#go").click()
    expect(error).to_contain_text("nothing was sent")
    assert asked == []
    opened.locator("#prompt").fill("sea " * 200_000)
    expect(error).to_be_hidden()
    opened.locator("#go").click()
    expect(error).to_contain_text(re.compile("tokens of prompt .* more than the 8192 of the context"))
    expect(opened.locator("#prompt")).to_have_attribute("aria-invalid", "true")
    opened.locator("#commands summary").click()
    expect(opened.locator("#command")).to_contain_text("too long for a command line")


def test_hostile_text_is_text_wherever_it_stands(opened: Page) -> None:
    write(opened, HOSTILE)
    assert opened.locator("#output").inner_text().startswith(HOSTILE)
    opened.locator("#commands summary").click()
    expect(opened.locator("#command")).to_contain_text("onerror")
    opened.locator("#draw").scroll_into_view_if_needed()
    expect(opened.locator("#draw-behind")).to_contain_text("owned")
    opened.locator("#kept summary").click()
    expect(opened.locator("#kept-list")).to_contain_text("onerror")
    opened.goto(f"/ui/generate?model={HOSTILE}&prompt={HOSTILE}&shots={HOSTILE}")
    expect(opened.locator("#model")).to_have_value(HOSTILE)
    opened.locator("#go").click()
    expect(opened.locator("#generate-error")).to_contain_text("there is no model")
    expect(opened.locator("#model")).to_have_attribute("aria-invalid", "true")
    assert opened.locator("main img, main script").count() == 0
    assert opened.title() == "Generate · Inkling"


def test_right_to_left_and_combining_text_stays_itself(opened: Page) -> None:
    written = write(opened, STRANGE)
    output = opened.locator("#output")
    assert output.evaluate("e => e.textContent") == STRANGE + written
    assert output.evaluate("e => e.matches(':dir(rtl)')")
    assert opened.locator("#prompt").evaluate("e => e.matches(':dir(rtl)')")
    opened.reload()
    expect(opened.locator("#prompt")).to_have_value(STRANGE)
    expect(opened.locator("#output .out").first).to_be_attached()
    assert output.evaluate("e => e.textContent") == STRANGE + written


def test_a_conversation_goes_on(opened: Page) -> None:
    opened.get_by_text("Ask as a chat").click()
    opened.locator("#system").fill("Be brief.")
    answer = write(opened, "Name a colour.")
    opened.get_by_role("button", name="Reply").click()
    turns = opened.locator("#turns .turns__text")
    expect(turns).to_have_text(["Name a colour.", answer], use_inner_text=True)
    expect(opened.locator("#prompt")).to_be_focused()
    write(opened, "Another one.")
    opened.locator("#commands summary").click()
    opened.get_by_text("inkling", exact=True).click()
    command = opened.locator("#command").inner_text()
    assert '"role":"system","content":"Be brief."' in command
    assert "'Another one.'" in command
    opened.reload()
    expect(turns).to_have_count(2)
    opened.get_by_role("button", name="Cut off here, before turn 1").click()
    expect(turns).to_have_count(0)


def test_the_commands_write_what_stands_on_the_page(opened: Page) -> None:
    opened.locator("#top-k").fill("40")
    opened.locator("#stops").fill("\\n\nit's")
    write(opened, "It's the keeper's \"door\" and")
    opened.locator("#output .out").nth(1).click()
    opened.locator("#output-readout button.alternative").first.click()
    expect(opened.locator("#ways-tree li li")).to_have_count(1)
    tokens = opened.locator("#output .out").all_inner_texts()
    opened.locator("#commands summary").click()

    def command(language: str) -> str:
        opened.locator("#commands").get_by_text(language, exact=True).click()
        return opened.locator("#command").inner_text()

    python = subprocess.run([sys.executable, "-c", command("Python")], capture_output=True, text=True, check=True)
    assert python.stdout == "".join(tokens[2:]) + "\n"
    said = command("inkling").replace("inkling ", f"{sys.executable} -m app.cli ", 1)
    inkling = subprocess.run(["sh", "-c", said], cwd=ROOT, capture_output=True, text=True, check=True)
    assert inkling.stdout == "It's the keeper's \"door\" and" + "".join(tokens[2:]) + "\n"
    if shutil.which("curl"):
        curl = subprocess.run(["sh", "-c", command("curl")], capture_output=True, text=True, check=True)
        assert curl.stdout.count("data: {") == len(tokens) - 2


def test_a_seed_that_a_browser_cannot_hold_is_refused(opened: Page) -> None:
    opened.locator("#seed").fill("9007199254740993")
    opened.locator("#go").click()
    expect(opened.locator("#generate-error")).to_contain_text("a whole number up to 9,007,199,254,740,991")


def test_an_end_that_is_chosen_ends_the_text(opened: Page) -> None:
    """Whatever is drawn behind a token that ends texts is no part of it."""
    opened.get_by_text("Ask as a chat").click()
    opened.locator("#temperature").fill("0")
    opened.locator("#top-logprobs").fill("20")
    write(opened, "What is 2+2?", new_tokens=20)
    outs = opened.locator("#output .out")
    before = outs.all_inner_texts()
    place = before.index(".")
    outs.nth(place).click()
    opened.locator("button.alternative", has_text="<|im_end|>").click()
    expect(outs).to_have_count(place + 1)
    expect(opened.locator("#generate-status")).to_contain_text("The model ended the text")
    assert outs.all_inner_texts() == [*before[:place], ""]
    expect(opened.locator("#ways-tree li li")).to_have_count(1)


def test_without_script_the_form_is_sent_and_answered(chromium: Browser, service: Service) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto("/ui/generate?temperature=0")
    notice = page.locator("noscript p")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("Without JavaScript")
    expect(page.locator("#draw, #beside, #few-shot, #stop, #temperature-range")).to_have_count(5)
    for hidden in page.locator("[data-scripted]").all():
        expect(hidden).to_be_hidden()
    page.locator("#prompt").fill("The capital of France is")
    page.locator("#max-new-tokens").fill("6")
    page.locator("#go").click()
    expect(page.locator("#output")).to_contain_text("The capital of France is Paris")
    expect(page.locator("#generate-status")).to_contain_text("Seed")
    page.locator("#temperature").fill("-1")
    page.locator("#go").click()
    expect(page.locator("#generate-error")).to_contain_text("temperature: Input should be greater than or equal to 0")
    expect(page.locator("#prompt")).to_have_value("The capital of France is")
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_it_is_not_wider_than_the_window(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    write(opened, "a" * 300 + " the sea", new_tokens=4)
    opened.locator("#output .out").first.click()
    opened.locator("#draw").scroll_into_view_if_needed()
    expect(opened.locator("#draw-rows tr")).not_to_have_count(0)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
