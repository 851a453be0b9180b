"""The lessons in a real Chromium: each step is done, ticks, and stays ticked; the book's numbers stand beside."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, Route, expect

from app.api.pages.lessons import CHAPTERS
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.step import Chapter, Step
from app.api.pages.lessons.train import Train
from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: f"chapter {chapter.number}")
DONE = re.compile("tick--done")


@pytest.fixture(scope="module")
def classifier(service: Service) -> Iterator[str]:
    """The name of a network that tells classes, badly: it was trained for three steps."""
    with httpx.Client(base_url=service.url, timeout=60) as client:
        asked = {"recipe": "classify", "dataset": "ferry-messages", "train": {"max_steps": 3}, "name": "teller"}
        job = client.post("/jobs", json=asked | {"model": {"preset": "gpt-tiny"}, "tokenizer": "gpt2"}).json()
        deadline = time.monotonic() + 120
        while (job := client.get(f"/jobs/{job['id']}").json())["status"] in ("queued", "running"):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert job["status"] == "succeeded", job
        yield str(job["name"])
        client.delete(f"/models/{job['name']}")
        client.delete(f"/jobs/{job['id']}")


def tick(page: Page, step: str) -> Locator:
    return page.locator(f'[data-tick="{step}"]')


def ask(page: Page, step: str) -> Locator:
    """Press the step's button and wait for an answer; the step."""
    section = page.locator(f"#{step}")
    section.locator("[type=submit]").last.click()
    expect(section.locator("[type=submit]").last).to_be_enabled(timeout=180_000)
    return section


@every_chapter
@pytest.mark.usefixtures("classifier")
def test_its_steps_are_done_tick_and_stay_ticked(page: Page, chapter: Chapter) -> None:
    page.goto(f"/ui/learn/{chapter.number}")
    asked = [step for step in chapter.steps if isinstance(step.does, Ask)]
    for step in asked:
        expect(tick(page, step.id)).not_to_have_class(DONE)
        section = ask(page, step.id)
        expect(section.locator("[data-error]")).to_be_hidden()
        expect(tick(page, step.id)).to_have_class(DONE)
        assert isinstance(step.does, Ask)
        if step.does.checks and step.does.only is None:
            same = re.compile(r"^✓ The same as the book: (\d+) of \1 value")
            expect(section.locator("[data-verdict]")).to_have_text(same)
            expect(section.locator(".mark-of")).to_have_text(["✓ same"] * len(step.does.checks))
        if step.does.view:
            expect(section.locator("[data-view]")).to_be_visible()
            assert section.locator("[data-view]").inner_text().strip()
    told = f"{len(asked)} of {len(chapter.steps)} steps done"
    expect(page.locator("#progress")).to_have_text(told)
    page.reload()
    expect(page.locator("#progress")).to_have_text(told)
    for step in asked:
        expect(tick(page, step.id)).to_have_class(DONE)
    page.goto("/ui/learn")
    expect(page.locator(f'[data-chapter="{chapter.number}"] [data-done]')).to_have_text(told)


@pytest.fixture
def third(page: Page) -> Page:
    page.goto("/ui/learn/3")
    return page


def test_other_values_are_not_compared_and_stand_in_the_address(third: Page) -> None:
    seed = third.locator("#trained-seed")
    seed.fill("7")
    section = ask(third, "trained")
    expect(section.locator("[data-verdict]")).to_contain_text("Other values than the book's")
    expect(section.locator(".mark-of").first).to_be_empty()
    expect(third).to_have_url(re.compile(r"\?trained\.seed=7"))
    third.reload()
    expect(seed).to_have_value("7")
    expect(section.locator(".command pre")).to_contain_text('"seed":7')
    section.locator("[type=reset]").click()
    expect(seed).to_have_value("123")
    expect(third).to_have_url(re.compile(r"/ui/learn/3$"))
    expect(section.locator("[type=reset]")).to_be_hidden()
    ask(third, "trained")
    expect(section.locator("[data-verdict]")).to_contain_text("The same as the book")


def test_what_cannot_be_asked_is_told_at_its_field_and_ticks_nothing(third: Page) -> None:
    third.locator("#heads-num_heads").fill("3")
    section = ask(third, "heads")
    expect(section.locator("[data-error]")).to_contain_text("3 heads do not divide")
    expect(third.locator("#heads-num_heads")).to_have_attribute("aria-invalid", "true")
    expect(section.locator("[data-yours]").first).to_have_text("no answer")
    expect(tick(third, "heads")).not_to_have_class(DONE)
    third.locator("#simple-vectors").fill("1 2 <img src=x onerror=alert(1)>")
    section = ask(third, "simple")
    expect(section.locator("[data-error]")).to_contain_text("is not a number")
    assert section.locator("img").count() == 0


def test_numbers_that_differ_are_marked_one_by_one(third: Page) -> None:
    """As on a machine whose torch draws otherwise: the answer is changed on its way."""

    def change(route: Route) -> None:
        answer = route.fetch().json()
        answer["context"][1][0] += 0.5
        route.fulfill(json=answer)

    third.route("**/lessons/attention", change)
    section = ask(third, "simple")
    expect(section.locator("[data-verdict]")).to_contain_text("✗ Differs from the book in 1 of 60 values")
    expect(section.locator(".figure--off")).to_have_count(1)
    expect(section.locator(".mark-of")).to_have_text(["✓ same", "✓ same", "✗ 1 of 18 differ"])
    expect(tick(third, "simple")).to_have_class(DONE)


def test_a_server_that_is_away_is_told_and_asked_again(third: Page) -> None:
    third.route("**/lessons/attention", lambda route: route.abort())
    section = ask(third, "simple")
    expect(section.locator("[data-error]")).to_contain_text("cannot be reached")
    expect(tick(third, "simple")).not_to_have_class(DONE)
    third.unroute("**/lessons/attention")
    ask(third, "simple")
    expect(section.locator("[data-error]")).to_be_hidden()
    expect(tick(third, "simple")).to_have_class(DONE)


def test_ticks_reach_another_tab_and_are_forgotten_when_asked(third: Page, context: BrowserContext) -> None:
    other = context.new_page()
    other.goto("/ui/learn")
    ask(third, "simple")
    expect(other.locator('[data-chapter="3"] [data-done]')).to_contain_text("1 of")
    third.locator("#reset").click()
    expect(tick(third, "simple")).not_to_have_class(DONE)
    expect(other.locator('[data-chapter="3"] [data-done]')).to_contain_text("0 of")
    ask(third, "simple")
    other.locator("#reset").click()
    expect(tick(third, "simple")).to_have_class(DONE)
    other.locator("#reset").click()  # it asks once more
    expect(tick(third, "simple")).not_to_have_class(DONE)
    expect(other.locator("#progress")).to_contain_text("0 of")


def test_keys_alone_do_a_step(third: Page) -> None:
    third.locator("#causal-seed").focus()
    third.keyboard.press("Enter")
    expect(tick(third, "causal")).to_have_class(DONE)
    expect(third.locator("#causal [data-verdict]")).to_contain_text("The same as the book")


def test_storage_that_holds_something_else_is_no_harm(page: Page) -> None:
    page.add_init_script("localStorage.setItem('inkling-lessons', '[broken')")
    page.goto("/ui/learn/3")
    expect(page.locator("#progress")).to_contain_text("0 of")
    ask(page, "simple")
    expect(page.locator("#progress")).to_contain_text("1 of")


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("address", ["/ui/learn", *(f"/ui/learn/{chapter.number}" for chapter in CHAPTERS)])
def test_it_is_not_wider_than_the_window(page: Page, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    "step", [step for one in CHAPTERS for step in one.steps if step.is_job], ids=lambda one: one.id
)
def test_each_job_that_a_lesson_begins_is_taken_with_a_model_of_this_machine(service: Service, step: Step) -> None:
    assert isinstance(step.does, Train)
    kinds = {"text": "the-tide-clock", "labelled": "ferry-messages", "instructions": "small-tasks"}
    offered = kinds | {"preferences": "better-answers", "": "smollm2-135m-instruct"}
    texts = {field.name: offered[field.of] for field in step.does.fields if field.is_offered}
    with httpx.Client(base_url=service.url, timeout=60) as client:
        for number in range(len(step.does.runs)):
            body = step.does.request(texts | {"run": str(number)}).body
            job = client.post("/jobs", json=body)
            assert job.status_code == 202, job.text
            assert client.post(f"/jobs/{job.json()['id']}/cancel").status_code == 200


def test_an_evaluation_is_begun_and_cannot_be_estimated(page: Page, tiny_models: list[str]) -> None:
    page.goto(f"/ui/learn/7?judge.model={tiny_models[0]}&judge.evaluate.judge.model={tiny_models[1]}")
    judge = page.locator("#judge")
    expect(judge.locator("[type=submit]")).to_have_text(["Have it judged"])
    ask(page, "judge")
    expect(judge.locator("[data-job]")).to_contain_text("succeeded", timeout=120_000)
    expect(judge.locator("[data-job]")).not_to_contain_text("It made the model")
    expect(tick(page, "judge")).to_have_class(DONE)


def test_a_verdict_on_the_readers_own_message_is_told_by_token(page: Page, classifier: str) -> None:
    page.goto("/ui/learn/6")
    page.locator("#verdict-input").fill("<b>Late</b> ferry\n\nA second one")
    section = ask(page, "verdict")
    expect(section.locator("figcaption")).to_have_count(2)
    expect(section.locator(".chip").first).to_contain_text("<")
    shares = section.locator("figure").first.locator(".chip__under").all_inner_texts()
    assert 90 <= sum(abs(int(share.replace("−", "-"))) for share in shares) <= 110
    expect(section.locator(".command pre")).to_contain_text(f'"model":"{classifier}"')


def test_without_script_it_reads_and_says_how_to_ask(chromium: Browser, service: Service) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto("/ui/learn/3")
    expect(page.locator("noscript .notice")).to_be_visible()
    expect(page.locator("#causal h2")).to_be_visible()
    page.locator("#causal summary").click()
    expect(page.locator("#causal .command pre")).to_contain_text('"kind": "causal"')
    page.locator("#causal [type=submit]").first.click()
    expect(page).to_have_url(re.compile("/ui/learn/3/causal#causal$"))
    expect(page.locator("#causal [data-verdict]")).to_contain_text("The same as the book: 72 of 72 values")
    expect(page.locator("#causal .mark-of")).to_have_text(["✓ same"] * 2)
    context.close()
