"""The lessons' pages, as the server sends them: they read well with nothing fetched, and lead to one another."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.pages.lessons import CHAPTERS
from app.api.pages.lessons.ask import Ask
from app.api.pages.lessons.step import Chapter
from app.api.pages.render import STRICT_POLICY, TEMPLATES
from app.config import Settings
from app.main import create_app
from tests.test_docs import pages

every_chapter = pytest.mark.parametrize("chapter", CHAPTERS, ids=lambda chapter: f"chapter {chapter.number}")


def test_the_list_leads_to_every_chapter_and_step(client: TestClient) -> None:
    answer = client.get("/ui/learn")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert '<a href="/ui/learn" aria-current="page">Learn</a>' in answer.text
    for chapter in CHAPTERS:
        assert f'href="/ui/learn/{chapter.number}"' in answer.text
        for step in chapter.steps:
            assert f'href="/ui/learn/{chapter.number}#{step.id}"' in answer.text


@every_chapter
def test_a_chapter_reads_well_without_script(client: TestClient, chapter: Chapter) -> None:
    answer = client.get(f"/ui/learn/{chapter.number}")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    prose = re.sub(r"<[^>]+>|\s+", " ", answer.text)
    for step in chapter.steps:
        assert step.title in prose
        [section] = re.findall(rf'<section class="sheet lesson-step" id="{step.id}".*?</section>', answer.text, re.S)
        told = re.search(r'<div class="lesson-step__text">(.*?)<div class="lesson-step__panel">', section, re.S)
        assert told
        assert len(re.sub(r"<[^>]+>|\s+", " ", told[1]).split()) > 40
        assert "curl -s &#39;http://127.0.0.1:8000" in section
        assert f'method="post" action="/ui/learn/{chapter.number}/{step.id}#{step.id}"' in section
        if isinstance(step.does, Ask):
            assert section.count('role="rowheader"') == len(step.does.checks)


@every_chapter
def test_steps_and_fields_have_names_of_their_own(chapter: Chapter) -> None:
    names = [step.id for step in chapter.steps]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_chapters_lead_to_one_another(client: TestClient) -> None:
    for chapter, following in pairwise(CHAPTERS):
        assert f'href="/ui/learn/{following.number}" rel="next"' in client.get(f"/ui/learn/{chapter.number}").text
        assert f'href="/ui/learn/{chapter.number}" rel="prev"' in client.get(f"/ui/learn/{following.number}").text


@every_chapter
def test_what_a_lesson_leads_to_is_a_page(client: TestClient, chapter: Chapter) -> None:
    html = client.get(f"/ui/learn/{chapter.number}").text
    linked = {address.partition("#")[0].partition("?")[0] for address in re.findall(r'href="(/[^"]*)"', html)}
    known = {path for path in pages() if "{" not in path}
    known |= {f"/ui/learn/{each.number}" for each in CHAPTERS}
    assert {address for address in linked if address != "/openapi.json" and not address.startswith("/static/")} <= known


@pytest.mark.parametrize("number", ["0", "8", "-1", "one", "3.0", "９", "9" * 5000])
def test_a_chapter_that_is_not_there_is_a_page_that_says_so(client: TestClient, number: str) -> None:
    answer = client.get(f"/ui/learn/{number}")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert 'href="/ui/learn"' in answer.text


def test_every_prose_is_of_a_step() -> None:
    for path in TEMPLATES.glob("lessons/chapter_*.html"):
        number = int(path.stem.removeprefix("chapter_"))
        [chapter] = [each for each in CHAPTERS if each.number == number]
        assert re.findall(r"{% macro (\w+)\(\)", path.read_text()) == [step.id for step in chapter.steps]


@pytest.fixture
def whole(settings: Settings, tmp_path: Path) -> Iterator[TestClient]:
    """All of the service, without a model."""
    with TestClient(create_app(settings.model_copy(update={"assets_dir": tmp_path / "none"}))) as made:
        yield made


def test_a_form_without_script_brings_the_page_back_with_the_books_numbers_beside(whole: TestClient) -> None:
    answer = whole.post("/ui/learn/3/causal", data={"seed": "789", "d_out": "2"})
    assert answer.status_code == 200
    assert "✓ The same as the book: 72 of 72 values." in answer.text
    assert answer.text.count("✓ same") == 2
    other = whole.post("/ui/learn/3/causal", data={"seed": "7"})
    assert "Other values than the book&#39;s" in other.text
    assert "✓ same" not in other.text
    assert 'value="7"' in other.text
    assert "&#34;seed&#34;: 7" in other.text  # in the command, too


def test_what_a_form_without_script_cannot_ask_is_told(whole: TestClient) -> None:
    script = "<script>alert(1)</script>"
    answer = whole.post("/ui/learn/3/simple", data={"vectors": script})
    assert answer.status_code == 422
    assert "is not a number." in answer.text
    assert script not in answer.text
    refused = whole.post("/ui/learn/3/heads", data={"num_heads": "3"})
    assert refused.status_code == 422
    assert "3 heads do not divide" in refused.text
    assert "✓ same" not in refused.text


def test_a_panel_without_its_model_says_what_to_do(whole: TestClient) -> None:
    page = whole.get("/ui/learn/1").text
    assert "`make assets` brings one; then start the service again. Then load this page again." in page
    assert re.search(r'<button type="submit" class="button" disabled>What comes next\?', page)
    answer = whole.post("/ui/learn/1/guess", data={"text": "Hello"})
    assert answer.status_code == 424
    assert "make assets" in re.search(r"data-error>(.*?)</div>", answer.text, re.S)[1]  # type: ignore[index]


def test_a_step_has_an_address_of_its_own(whole: TestClient) -> None:
    answer = whole.get("/ui/learn/3/simple", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/learn/3#simple")
    assert whole.get("/ui/learn/3/nothing").status_code == 404
    assert whole.post("/ui/learn/9/simple").status_code == 404
