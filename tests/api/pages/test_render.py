"""What holds for every page: its headers, no inline code, text as text, and a front end that stays small."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest

from app.api.pages import docs, home, inspect, jobs, models, tokenizers
from app.api.pages.render import STRICT_POLICY, STYLED_POLICY, TEMPLATES, PageContext, render

STATIC = Path(__file__).resolve().parents[3] / "static"
PAGES: dict[str, PageContext] = {
    "home": home.HomePage(default_tokenizer="gpt2", default_model="smol", max_text_bytes=1024, is_remote=True),
    "models": models.ModelsPage(max_upload_bytes=4096, import_dir="/data/import", hub="https://hub.example"),
    "jobs": jobs.JobsPage(default_tokenizer="gpt2", presets=(jobs.Preset("gpt-tiny", "2 layers"),)),
    "job": jobs.JobPage(job_id="job_1", name="tide", status="queued"),
    "missing": jobs.MissingPage("No such job", "there is none", "/ui/jobs", "All jobs"),
    "tokenizers": tokenizers.TokenizersPage(default_tokenizer="gpt2"),
    "inspect": inspect.InspectPage(default_model="smol"),
    "docs": docs.DocsPage(),
}
every_page = pytest.mark.parametrize("page", PAGES.values(), ids=PAGES.keys())


class Elements(HTMLParser):
    """All start tags of a page, with their attributes and the text directly after them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts_with_text = 0
        self._in_script = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        self.scripts_with_text += self._in_script and bool(data.strip())

    def ids(self) -> list[str]:
        return [attributes["id"] or "" for _, attributes in self.found if "id" in attributes]


def elements(page: PageContext) -> Elements:
    return Elements(bytes(render(page).body).decode())


@every_page
def test_a_page_holds_no_inline_code(page: PageContext) -> None:
    parsed = elements(page)
    assert parsed.scripts_with_text == 0
    for tag, attributes in parsed.found:
        assert tag != "style"
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]


@every_page
def test_a_page_asks_no_other_host_for_anything(page: PageContext) -> None:
    for tag, attributes in elements(page).found:
        address = attributes.get("src") or attributes.get("href") or "/"
        assert re.match(r"[/#](?!/)", address), (tag, address)


@every_page
def test_ids_are_unique_and_each_field_has_a_name(page: PageContext) -> None:
    parsed = elements(page)
    ids = parsed.ids()
    assert len(ids) == len(set(ids))
    labelled = {attributes.get("for") for tag, attributes in parsed.found if tag == "label"}
    wrapped = {"checkbox", "radio"}  # these stand inside their labels
    for tag, attributes in parsed.found:
        if tag in ("input", "select", "textarea") and attributes.get("type") not in wrapped:
            assert attributes.get("id") in labelled or attributes.get("aria-label"), attributes
    for _, attributes in parsed.found:
        for name in ("for", "aria-describedby", "aria-labelledby", "data-copy", "data-twin"):
            assert attributes.get(name) is None or attributes[name] in ids, attributes


@every_page
def test_without_script_a_page_still_says_what_it_is(page: PageContext) -> None:
    html = bytes(render(page).body).decode()
    assert re.search(r"<title>[^<]+ · Inkling</title>", html)
    if not isinstance(page, jobs.MissingPage):
        told = re.search(r"<noscript>(.*?)</noscript>", html, re.DOTALL)
        assert told
        assert len(re.sub(r"<[^>]+>|\s+", " ", told[1]).split()) > 10


def test_every_file_that_a_page_names_is_there() -> None:
    for page in PAGES.values():
        for _, attributes in elements(page).found:
            address = attributes.get("src") or attributes.get("href") or ""
            if address.startswith("/static/") and not address.startswith(("/static/plotly", "/static/swagger")):
                assert (STATIC / address.removeprefix("/static/")).is_file(), address


def test_the_headers_hold_a_page_to_its_own_host() -> None:
    headers = render(PAGES["home"]).headers
    assert headers["content-security-policy"] == STRICT_POLICY
    assert "unsafe" not in STRICT_POLICY
    assert STYLED_POLICY.replace(" 'unsafe-inline'", "") == STRICT_POLICY
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-cache")


@dataclass(frozen=True)
class Unfinished:
    template: ClassVar[str] = "job.html"
    place: ClassVar[str] = ""
    job_id: str = "job_1"


def test_a_field_that_a_context_lacks_is_an_error_and_no_gap() -> None:
    with pytest.raises(Exception, match="has no attribute 'name'"):
        render(Unfinished())


def test_names_are_shown_as_text() -> None:
    page = jobs.JobPage(job_id="job_1", name="<script>alert(1)</script>", status="queued")
    html = bytes(render(page).body).decode()
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def modules_of(script: Path) -> set[Path]:
    """The module and all that it imports, directly or not."""
    found, todo = set(), [script]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += [module.parent / name for name in re.findall(r'from "(\./[^"]+)"', module.read_text())]
    return {path.resolve() for path in found}


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_our_script_stays_small(template: Path) -> None:
    """What a browser loads for one page, of ours and before it is packed."""
    entries = re.findall(r'src="/static/(js/[^"]+)"', template.read_text())
    modules = {module for entry in entries for module in modules_of(STATIC / entry)}
    assert sum(path.stat().st_size for path in modules) < 60_000


@pytest.mark.parametrize("path", sorted((STATIC / "js").rglob("*.js")), ids=lambda path: path.name)
def test_script_writes_text_and_never_markup(path: Path) -> None:
    written = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style"
    assert not re.search(written, path.read_text())
    assert not re.search(r"https?://", path.read_text())


def test_each_template_is_used() -> None:
    sources = "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    named = {page.template for page in PAGES.values()} | set(re.findall(r'(?:extends|include|from) "([^"]+)"', sources))
    assert {path.name for path in TEMPLATES.glob("*.html")} == named
