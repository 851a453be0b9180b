"""The page of vectors in a real Chromium: nearest tokens, maps, an analogy, word vectors of a job, no JavaScript."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import PATIENCE_MS, Service
from tests.weight_files import CONFIGS, a_folder, a_network

pytestmark = [pytest.mark.e2e, pytest.mark.browser]

MAP = "#map-chart .scatterlayer"
STORY = "the king saw the sea . the queen saw the king . a man saw the queen . the sea saw a man .\n" * 20


@pytest.fixture(scope="module")
def with_places(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A tiny model that reads bytes and has a table of 48 positions."""
    name = "with-places"
    folder = a_folder(tmp_path_factory.mktemp(name) / name, a_network(CONFIGS["gpt2"]))
    files = [("files", (path.name, path.read_bytes())) for path in sorted(folder.iterdir())]
    made = httpx.post(f"{service.url}/models/upload", data={"name": name}, files=files, timeout=60)
    assert made.status_code == 201, made.text
    yield name
    httpx.delete(f"{service.url}/models/{name}")


def test_what_needs_no_drawing_waits_for_no_plotly(page: Page, with_places: str) -> None:
    page.route("**/plotly.min.js", lambda route: route.abort())
    page.goto(f"/ui/embeddings?model={with_places}&text=fox&neighbours=3")
    expect(page.locator(".near__line")).to_have_count(3)
    expect(page.locator("#map-chart")).to_contain_text("did not come")
    page.locator("#map-details > summary").click()
    expect(page.locator("#map-details tbody tr").first).to_be_visible()  # the same points, as a table


def labels(page: Page) -> list[str]:
    return [text for text in page.locator("#map-chart .textpoint").all_text_contents() if text]


def test_a_text_its_neighbours_and_the_way_back(page: Page, with_places: str) -> None:
    page.goto(f"/ui/embeddings?model={with_places}&text=fox&neighbours=3")
    expect(page.locator(".near__token")).to_have_text(["·", "f", "o", "x"])
    expect(page.locator(".near__line")).to_have_count(3)
    expect(page.locator(MAP)).to_be_attached()
    expect(page.locator(".strip")).to_have_count(4 * 3)  # each with its position, and the sum
    page.locator(".near__token", has_text="x").click()
    expect(page.locator("#near-title")).to_have_text("Nearest to x")

    page.locator(".near__line").first.click()
    expect(page).to_have_url(re.compile(r"ids=\d+"))
    expect(page.locator(".strip")).to_have_count(3)
    expect(page.locator("#near-tokens")).to_be_hidden()
    page.go_back()
    expect(page.locator(".near__token")).to_have_count(4)
    expect(page.locator("#words")).to_have_value("fox")

    page.locator(".strip").first.focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("#strip-told")).to_have_text(re.compile(r"·, token: number 0 is -?\d\.\d{4}"))
    page.locator("#strip-details summary").click()
    expect(page.locator("#strip-body tr")).to_have_count(32)


def test_commands_ask_for_the_same(page: Page, service: Service, with_places: str) -> None:
    page.goto(f"/ui/embeddings?model={with_places}&text=it's")
    page.locator("#bare").check()
    page.locator("#embeddings-form .command summary").click()
    command = page.locator("#embeddings-command")
    words = shlex.split(command.inner_text())
    answer = httpx.post(words[2], content=words[-1], headers={"content-type": "application/json"}).json()
    assert answer["texts"] == list("it's")
    page.get_by_text("python", exact=True).click()
    expect(command).to_contain_text('"text": "it\'s"')
    expect(command).to_contain_text('"positions": True')
    page.get_by_text("inkling", exact=True).click()
    assert shlex.split(command.inner_text().replace("\\\n", ""))[-1] == "it's"


def test_positions_as_a_plane_and_a_space(page: Page, with_places: str) -> None:
    page.goto("/ui/embeddings?show=analogy")
    expect(page.get_by_label("Positions")).to_be_disabled()  # SmolLM2's are rotary
    expect(page.locator(".near__line").first).to_contain_text("queen")
    expect(page.locator("#near-title")).to_have_text("king + woman − man is near")
    page.locator("#model").select_option(with_places)
    page.get_by_text("Positions", exact=True).click()
    expect(page.locator("#map-note")).to_contain_text("48 positions")
    assert set(labels(page)) <= {str(place) for place in range(48)}
    page.locator("#map-chart .points path").nth(5).click(force=True)
    expect(page.locator("#near-title")).to_have_text(re.compile(r"Nearest to position \d+"))
    page.get_by_text("Space", exact=True).click()
    expect(page.locator("#map-chart .gl-container canvas").first).to_be_visible()
    expect(page).to_have_url(re.compile("axes=3"))
    page.locator("#map-details summary").click()
    expect(page.locator("#map-points tr").first.locator("td")).to_have_count(4)


@pytest.fixture
def story(service: Service) -> Iterator[str]:
    """The id of a tiny text; it goes with all that was made of it."""
    files = {"file": ("tiny-story.txt", STORY.encode())}
    dataset = httpx.post(f"{service.url}/datasets", files=files).json()["id"]
    yield dataset
    made = [f"jobs/{job['id']}" for job in httpx.get(f"{service.url}/jobs?dataset={dataset}").json()["data"]]
    for address in ("models/story-words", *made, f"tokenizers/{dataset}-words", f"datasets/{dataset}"):
        httpx.delete(f"{service.url}/{address}").raise_for_status()


def test_word_vectors_of_a_job_and_their_map(page: Page, service: Service, story: str) -> None:
    train = {"max_steps": 5, "batch_size": 64}
    job = {"recipe": "word2vec", "dataset": story, "model": {"emb_dim": 8}, "train": train, "name": "story-words"}
    made = httpx.post(f"{service.url}/jobs", json=job).json()
    page.goto(f"/ui/jobs/{made['id']}")
    expect(page.locator("#status")).to_have_text("succeeded", timeout=2 * PATIENCE_MS)
    page.get_by_role("link", name="See its vectors", exact=True).click()
    expect(page.locator("#dataset")).to_have_value(story)
    expect(page.locator("#map-note")).to_contain_text("The 8 most frequent tokens")
    assert {"the", "saw"} <= set(labels(page))
    page.locator("#map-details summary").click()
    expect(page.locator("#map-points tr").first.locator("td").nth(1)).to_have_text("120")

    page.get_by_text("A text", exact=True).click()
    page.locator("#words").fill("the king saw a <b>dragon</b>")
    page.locator("#go").click()
    expect(page.locator("#unknown")).to_contain_text("“<b>dragon</b>”: not among the words")
    page.get_by_text("An analogy", exact=True).click()
    expect(page.locator("#embeddings-error")).to_contain_text("woman")
    expect(page.locator("#c")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#map")).to_be_hidden()
    page.locator("#c").fill("a sea")
    page.locator("#go").click()
    expect(page.locator("#embeddings-status")).to_contain_text("“a sea” is 2 tokens")


def test_refusals_and_text_stays_text(page: Page, with_places: str) -> None:
    page.goto(f"/ui/embeddings?model={with_places}&text=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E&bare=1")
    expect(page.locator(".near__token").first).to_have_text("<")
    assert page.locator("main img").count() == 0
    expect(page.locator(MAP)).to_be_attached()
    assert "<" in labels(page)
    page.locator("#neighbours").fill("101")
    page.locator("#go").click()
    expect(page.locator("#embeddings-error")).to_contain_text("neighbours")
    expect(page.locator("#neighbours")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#near")).to_be_hidden()
    page.locator("#neighbours").fill("2")
    page.locator("#words").fill("a" * 60)
    page.locator("#go").click()
    expect(page.locator("#embeddings-error")).to_contain_text("48 positions")


def test_a_phone_is_wide_enough(page: Page, with_places: str, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"/ui/embeddings?model={with_places}&text=a+longer+text+than+others&neighbours=3")
    expect(page.locator(MAP)).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_without_script_the_form_is_answered(chromium: Browser, service: Service, with_places: str) -> None:
    context = chromium.new_context(base_url=service.url, java_script_enabled=False)
    page = context.new_page()
    page.goto(f"/ui/embeddings?model={with_places}")
    page.locator("#words").fill("fox")
    page.locator("#go").click()
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(page.locator("tbody tr").nth(1).locator("th")).to_contain_text("f id")
    page.locator("#neighbours").fill("101")
    page.locator("#go").click()
    expect(page.locator("#embeddings-error")).to_contain_text("neighbours")
    context.close()
