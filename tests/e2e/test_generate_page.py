"""The page that generates, in a real Chromium on the real model: stream, branches, draw, side by side, examples."""

from __future__ import annotations

import math
import re
import time

import httpx
import pytest
import torch
from playwright.sync_api import Page, expect

from app.llm.config import SamplingParams
from app.llm.engine.distribution import distributions
from app.llm.engine.sampler import penalise
from tests.e2e.conftest import Service

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

ENDED = re.compile("Stopped at the number of tokens|The model ended the text")


def write(page: Page, prompt: str, **settings: object) -> None:
    """Have a text written, with seed 7 unless another is asked for."""
    page.locator("#prompt").fill(prompt)
    for name, value in ({"seed": 7, "max-new-tokens": 8} | settings).items():
        page.locator(f"#{name}").fill(str(value))
    page.locator("#go").click()
    expect(page.locator("#generate-status")).to_contain_text(ENDED)
    expect(page.locator("#generate[aria-busy]")).to_have_count(0)  # kept, with seed and address


def drawn(page: Page) -> list[str]:
    return page.locator("#output .out").all_inner_texts()


@pytest.fixture
def opened(page: Page) -> Page:
    """The page, once its last part is there."""
    page.goto("/ui/generate")
    expect(page.locator("#shot-rows .shots__row")).to_have_count(3)
    return page


def test_each_token_is_marked_by_its_chance_and_tells_its_alternatives(opened: Page) -> None:
    write(opened, "The capital of France is", temperature=0, **{"max-new-tokens": 12})
    assert "Paris" in opened.locator("#output").inner_text()
    styles = opened.locator("#tint-legend .out").evaluate_all(
        "all => all.map(e => getComputedStyle(e).borderBottomStyle + getComputedStyle(e).outlineStyle)"
    )
    assert len(set(styles)) == 6  # told by more than colour
    first = opened.locator("#output .out").first
    assert re.search(r"\bp-[0-4]\b", first.get_attribute("class") or "")
    opened.locator("#figures").check()
    shown = first.evaluate("e => getComputedStyle(e, '::after').content")
    assert re.search(r"[\d.]+%", shown)

    first.hover()
    expect(opened.locator("#output-readout .alternatives li")).to_have_count(5)
    first.focus()
    opened.keyboard.press("ArrowRight")
    expect(opened.locator("#output-readout dd").first).to_have_text("2")
    opened.keyboard.press("Enter")
    expect(opened.locator("#output-readout button.alternative:focus")).to_have_count(1)
    opened.keyboard.press("Escape")
    expect(opened.locator("#output .out:focus")).to_have_count(1)


def test_another_token_is_put_in_place_and_the_way_is_kept(opened: Page) -> None:
    write(opened, "The sea was")
    before = drawn(opened)
    root = opened.url
    assert "?branch=branch_" in root
    opened.locator("#output .out").nth(3).click()
    alternative = opened.locator("#output-readout button.alternative").first
    word = alternative.locator(".word").inner_text().replace("·", " ")
    alternative.click()
    expect(opened.locator("#ways-tree li li")).to_have_count(1)
    after = drawn(opened)
    assert (after[:3], after[3]) == (before[:3], word)
    assert len(after) == 12
    expect(opened.locator("#output .out--chosen")).to_have_text(word, use_inner_text=True)
    assert opened.url != root

    opened.goto(opened.url)  # the address alone brings it back
    expect(opened.locator("#output .out")).to_have_count(12)
    assert drawn(opened) == after
    expect(opened.locator("#ways-tree [aria-current]")).to_have_count(1)
    opened.locator("#ways-tree a").first.click()
    expect(opened.locator("#output .out")).to_have_count(8)
    assert (opened.url, drawn(opened)) == (root, before)
    opened.go_back()
    expect(opened.locator("#output .out")).to_have_count(12)


def test_a_seed_is_told_and_gives_the_same_text(opened: Page) -> None:
    write(opened, "The sea was", seed="")
    first = drawn(opened)
    seed = opened.locator("#seed-used code").inner_text()
    opened.locator("#reuse-seed").click()
    expect(opened.locator("#seed")).to_have_value(seed)
    write(opened, "The sea was", seed=seed)
    assert drawn(opened) == first
    expect(opened.locator("#ways-tree > li > ul > li")).to_have_count(1)  # of the same prompt, so of the same tree


def test_several_texts_at_once_are_ways_of_one_tree(opened: Page) -> None:
    opened.locator("#n").fill("3")
    write(opened, "The sea was", **{"max-new-tokens": 5})
    ways = opened.locator("#ways-tree .ways__line")
    expect(ways).to_have_count(3)
    notes = ways.locator(".note").all_inner_texts()
    assert [re.search(r"seed (\d+)", note)[1] for note in notes] == ["7", "8", "9"]
    assert "from the prompt" in notes[1]
    opened.locator("#ways-tree li li a").first.click()
    expect(opened.locator("#seed")).to_have_value("8")
    expect(opened.locator("#output .out")).to_have_count(5)


def test_what_is_not_to_be_kept_is_not_and_what_is_deleted_stays_on_the_page(opened: Page) -> None:
    opened.locator("#keep").uncheck()
    write(opened, "The sea was")
    expect(opened.locator("#ways-empty")).to_be_visible()
    expect(opened).to_have_url(re.compile("prompt=The"))
    assert "branch=" not in opened.url
    opened.locator("#keep").check()
    write(opened, "The sea was")
    expect(opened).to_have_url(re.compile("branch="))
    opened.get_by_role("link", name="Skip to the content").focus()
    opened.keyboard.press("Enter")  # a place on the page is no other text
    text = drawn(opened)
    delete = opened.locator("#ways-tree button")
    delete.click()
    expect(delete).to_have_text("Really, all of it?")
    delete.click()
    expect(opened.locator("#ways-empty")).to_be_visible()
    assert drawn(opened) == text


SETTINGS = [
    {"temperature": temperature, **filters}
    for temperature in (1.0, 0.7, 2.0, 0.05, 100.0, 0.0)
    for filters in (
        {},
        {"top_k": 1},
        {"top_k": 7},
        {"top_k": 5000},
        {"top_p": 0.3},
        {"top_p": 0.95},
        {"top_p": 1.0},
        {"min_p": 0.1},
        {"min_p": 1.0},
        {"top_k": 20, "top_p": 0.6, "min_p": 0.02},
    )
]
COMPUTE = """
async ([logits, seen, cases]) => {
  const { distribution, penalised, ranked } = await import("/static/js/sampling.js");
  return cases.map(({ repetition_penalty, ...settings }) => {
    const changed = penalised(Float32Array.from(logits), seen, repetition_penalty);
    const found = distribution(changed, ranked(changed), settings);
    return [...found.drawn].map((share, id) => [share, found.out[id]]);
  });
}
"""


@pytest.mark.parametrize("kind", ["spread", "peaked", "tied"])
def test_the_arithmetic_of_the_page_is_that_of_the_engine(opened: Page, kind: str) -> None:
    """Every setting against the engine's own sampler: the same tokens stay, with the same chances."""
    draw = torch.Generator().manual_seed({"spread": 1, "peaked": 2, "tied": 3}[kind])
    logits = torch.randn(1500, generator=draw) * (4 if kind == "peaked" else 1)
    if kind == "tied":
        logits = logits.mul(4).round().div(4)
    seen = torch.randint(0, 1500, (400,), generator=draw).tolist()
    cases = [{"repetition_penalty": penalty} | one for penalty in (1.0, 1.3, 0.8) for one in SETTINGS]
    found = opened.evaluate(COMPUTE, [logits.tolist(), seen, cases])
    for case, shares in zip(cases, found, strict=True):
        fields = {name: value for name, value in case.items() if name != "repetition_penalty"}
        changed = penalise(logits, seen, case["repetition_penalty"])
        engine = distributions(changed[None], [SamplingParams(max_new_tokens=1, **fields)])[0]
        assert [not out for _, out in shares] == (engine > -torch.inf).tolist(), case
        page = torch.tensor([share for share, _ in shares], dtype=torch.float32)
        torch.testing.assert_close(page, engine.exp(), atol=1e-7, rtol=1e-4)


def candidates(page: Page) -> list[list[str]]:
    """The rows of the draw: token, score, scaled, filters, draw."""
    return [row.locator("th, td").all_inner_texts() for row in page.locator("#draw-rows tr").all()]


def look_at_the_draw(page: Page) -> None:
    page.locator("#draw").scroll_into_view_if_needed()
    expect(page.locator("#draw-rows tr")).not_to_have_count(0)


def test_the_draw_moves_with_the_controls_as_the_service_computes_it(opened: Page, service: Service) -> None:
    opened.locator("#prompt").fill("The capital of France is the capital")
    look_at_the_draw(opened)
    asked = {"prompt": "The capital of France is the capital", "max_new_tokens": 1, "top_logprobs": 12, "seed": 1}
    for settings in ({"temperature": 0.8}, {"temperature": 1.5, "top_k": 6, "top_p": 0.9, "repetition_penalty": 1.2}):
        for name, value in settings.items():
            opened.locator(f"#{name.replace('_', '-')}").fill(str(value))
        top = httpx.post(f"{service.url}/generate", json=asked | settings, timeout=60).json()["choices"][0]["tokens"][0]
        told = {one["text"]: one["sampled_logprob"] for one in top["top"]}
        shown = {row[0].replace("·", " "): row for row in candidates(opened)}
        both = told.keys() & shown.keys()
        assert len(both) >= 8  # the penalty has the model's own order another one
        for text in both:
            *_, filtered, drawn = shown[text]
            if told[text] is None:
                assert (filtered.strip()[:5], drawn.strip()) == ("out: ", "–")
            else:
                share = float(re.findall(r"[\d.]+", drawn)[0]) / 100
                assert share == pytest.approx(math.exp(told[text]), abs=0.0011)
    note = opened.locator("#draw-filter-note").inner_text()
    assert 1 <= int(note.split(" of ")[0]) <= 6
    penalised_row = next(row for row in candidates(opened) if "→" in row[1])
    before, after = map(float, re.findall(r"-?[\d.]+", penalised_row[1]))
    assert after == pytest.approx(before / 1.2 if before > 0 else before * 1.2, abs=0.011)


def test_sliders_of_the_draw_and_fields_follow_each_other(opened: Page) -> None:
    look_at_the_draw(opened)
    dial = opened.get_by_label("Top k, for the draw")
    dial.focus()
    opened.keyboard.press("Home")
    expect(opened.locator("#top-k")).to_have_value("1")
    expect(opened.locator("#draw-filter-note")).to_contain_text("1 of 49,152 stay")
    assert [row[4].strip() for row in candidates(opened)][:2] == ["100 %", "–"]
    opened.keyboard.press("End")
    expect(opened.locator("#top-k")).to_have_value("")
    expect(opened.locator("#draw-filter-note")).to_contain_text("all 49,152 stay")
    opened.locator("#temperature").fill("0")
    expect(opened.locator("#draw-temperature-note")).to_have_text("0: the likeliest")
    assert candidates(opened)[1][3].strip() == "out: temperature 0"
    expect(opened).to_have_url(re.compile("temperature=0"))


def test_a_token_of_the_text_shows_its_own_draw_and_draws_are_tried(opened: Page) -> None:
    write(opened, "The sea was")
    third = opened.locator("#output .out").nth(2)
    text = third.inner_text()
    third.click()
    opened.get_by_role("button", name="How it was drawn").click()
    expect(opened.locator("#draw-place")).to_have_value("3")
    expect(opened.locator("#draw-behind")).to_have_text("The sea was" + "".join(drawn(opened)[:2]))
    mark = opened.locator("#draw-rows tr", has_text="in the text")
    expect(mark.locator("th")).to_have_text(text.replace(" ", "·"))
    opened.get_by_role("button", name="Draw 20 times").click()
    expect(opened.locator("#draw-status")).to_contain_text("seeds 7 to 26")
    times = [int(count) for row in candidates(opened) for count in re.findall(r"drawn (\d+)×", row[4])]
    assert sum(times) == 20
    opened.get_by_role("button", name="Next token").click()
    expect(opened.locator("#draw-place")).to_have_value("4")
    expect(opened.locator("#draw-rows tr", has_text="in the text")).to_have_count(1)


def test_two_models_write_side_by_side_with_one_seed(page: Page, tiny_models: list[str]) -> None:
    one, other = tiny_models
    page.goto(f"/ui/generate?model={one}&against={other}&seed=5&max_new_tokens=12&prompt=ab")
    expect(page.locator("#against")).to_have_value(other)
    page.locator("#beside-go").click()
    expect(page.locator("#beside-status")).to_contain_text("Both with the seed 5.")
    columns = page.locator("#beside-columns article")
    expect(columns.locator("h3")).to_have_text([one, other])
    expect(columns.locator(".out--parting")).to_have_count(2)
    expect(page.locator("#beside-status")).to_contain_text("They part at token")
    columns.nth(1).locator(".out").first.hover()
    expect(page.locator("#beside-readout")).to_contain_text("probability")
    text = columns.nth(1).locator(".output").inner_text()
    columns.nth(1).get_by_role("button", name="Open it above").click()
    expect(page.locator("#model")).to_have_value(other)
    assert page.locator("#output").inner_text() == "ab" + text
    expect(page).to_have_url(re.compile("branch=branch_"))


def test_examples_are_given_none_one_and_all(opened: Page) -> None:
    opened.locator("#temperature").fill("0")
    opened.locator("#seed").fill("7")
    opened.locator("#shot-add").click()
    expect(opened.locator("#shot-note")).to_have_text("3 examples, 1 unfinished and left out")
    opened.locator("#shot-go").click()
    columns = opened.locator("#shot-columns article")
    expect(columns.locator("h3")).to_have_text(["0 examples", "1 example", "3 examples"])
    for column in columns.all():
        expect(column.locator("[role=status]")).to_contain_text(ENDED)
    assert "DOOR!" in columns.nth(2).locator(".output").inner_text()
    columns.nth(1).get_by_text("What the model reads").click()
    expect(columns.nth(1).locator("pre")).to_have_text(
        "Answer each word.\n\nWord: cat\nAnswer: CAT!\n\nWord: door\nAnswer:", use_inner_text=True
    )
    opened.get_by_text("As turns of a chat").click()
    opened.locator("#shot-go").click()
    columns.nth(2).get_by_text("What the model reads").click()
    expect(columns.nth(2).locator("pre")).to_contain_text("user: cat\nassistant: CAT!", use_inner_text=True)
    expect(opened).to_have_url(re.compile("shots=%5B%22chat"))
    address = opened.url
    opened.goto(address)
    expect(opened.locator("#shot-rows .shots__row")).to_have_count(4)
    expect(opened.locator("[name=as][value=chat]")).to_be_checked()


@pytest.fixture(scope="module")
def checkpoints(service: Service) -> list[str]:
    """Two checkpoints of a job that trained a tiny model, `job_id@step` each."""
    train = {"max_steps": 20, "checkpoint_every": 10, "keep_checkpoints": 2, "batch_size": 2, "context_length": 32}
    body = {"recipe": "pretrain", "name": "two-steps", "dataset": "the-tide-clock", "model": {"preset": "gpt-tiny"}}
    made = httpx.post(f"{service.url}/jobs", json=body | {"train": train}, timeout=60)
    assert made.status_code == 202, made.text
    job = made.json()["id"]
    for _ in range(600):
        status = httpx.get(f"{service.url}/jobs/{job}", timeout=60).json()["status"]
        if status not in ("queued", "running"):
            break
        time.sleep(0.2)
    assert status == "succeeded"
    return [f"{job}@{step}" for step in (10, 20)]


def test_two_checkpoints_of_a_job_write_side_by_side(page: Page, checkpoints: list[str]) -> None:
    first, last = checkpoints
    page.goto(f"/ui/generate?model={first}&against={last}&max_new_tokens=6&seed=5&prompt=The+sea")
    expect(page.locator("#model")).to_have_value("two-steps")
    expect(page.locator("#model-step")).to_have_value(first)
    expect(page.locator("#against-step")).to_have_value(last)
    page.locator("#beside-go").click()
    expect(page.locator("#beside-status")).to_contain_text("Both with the seed 5.")
    expect(page.locator("#beside-columns h3")).to_have_text([first, last])
    page.locator("#against-step").select_option("as the job ended")
    expect(page).to_have_url(re.compile("against=two-steps"))
    page.locator("#against").select_option("smollm2-135m-instruct")
    expect(page.locator("#against-step")).to_be_hidden()
