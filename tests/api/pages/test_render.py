"""What holds for every page: its headers, no inline code, text as text, and a front end that stays small."""

from __future__ import annotations

import gzip
import re
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from app.api.pages import (
    attention,
    checkpoint_reading,
    compare,
    dataset,
    datasets,
    docs,
    embedding_form,
    embeddings,
    generate,
    generate_form,
    home,
    job_scrubber,
    jobs,
    learn,
    model,
    models,
    sign_in,
    tokens,
    train,
)
from app.api.pages.attention_reading import Likely, Looked, Place, Reading
from app.api.pages.attention_reading import Token as ReadToken
from app.api.pages.lessons import CHAPTERS
from app.api.pages.lessons.offers import Offers
from app.api.pages.render import STRICT_POLICY, STYLED_POLICY, TEMPLATES, PageContext, render
from app.db.tables.dataset import DatasetRow
from app.llm.class_report import class_scores
from app.llm.config import ClassifierConfig, ModelConfig
from app.llm.tokenizer.base import Token
from app.services.class_matrix import Asked as MatrixAsked
from app.services.class_matrix import CellRow, Matrix
from app.services.dataset_uses import Uses
from app.services.evaluations import Measured
from app.services.family_tree import Kin
from app.services.model_info import ModelInfo

LOOKED = Looked("<i>", 1.0, 0.5, None, 0.0)
READING = Reading(
    Place("<i>", "smol", 0, 0, None),
    0,
    1,
    1,
    [ReadToken("<i>", None, None)],
    [1.0],
    [1.0],
    [1.0],
    [LOOKED],
    [1.0],
    [],
    [],
)
STATIC = Path(__file__).resolve().parents[3] / "static"
A_DATASET = DatasetRow(
    id="ds_1", name="<b>rows</b>.jsonl", kind="instructions", format="jsonl", compression="gzip", source="upload",
    size_bytes=9, characters=8, rows=2, columns=[{"name": "</th>", "type": "text", "filled": 2, "characters": 8}],
    sha256="0" * 64, report={"lines": 3, "bad_rows": 1}, created_at=0.0,
)  # fmt: skip
SCRUBBER = job_scrubber.Scrubber(
    "text", '"><i>', 40, "the newest 2", (job_scrubber.Stop(3, None), job_scrubber.Stop(6, "job_1@6")),
    job_scrubber.Asked(plain="1"), None, checkpoint_reading.Seen("<script>alert(1)", [Likely("<i>", 0.5)]), "<i>",
)  # fmt: skip
A_CLASSIFIER = ModelInfo(
    name='"><script>alert(1)</script>', family="classifier", tokenizer="gpt2", parameters=7, size_bytes=28,
    config=ClassifierConfig(ModelConfig(280, 8, 4, n_heads=1, n_layers=1), ("ham", "</td>"), "last_token", 8, 0),
    sha256="0" * 64, source="import", base_model=None, job=None, licence="<i>", chat=False, available=True, hint="<u>",
    created_at=1, bytes_by_part={"embedding": 8, "attention": 8, "feed_forward": 8, "norms": 2, "head": 2},
    origin={"format": "gguf", "kind": "hub", "location": "<i>", "revision": "0" * 40, "files": []},
    datasets=[{"dataset": "ds_1", "name": "</p>", "sha256": None, "weight": 1.0}],
)  # fmt: skip
KIN = Kin("</ul>", "gone", False, children=[Kin(A_CLASSIFIER.name, "job", True, "job_1", "classify")])
MEASURED = Measured(
    "job_1", "accuracy", "ds_1", "<b>", [A_CLASSIFIER.name, "</a>"], {}, 1, {}, 1, {"accuracy": 0.5, "threshold": None}
)
MATRIX = Matrix(
    MatrixAsked("job_1", 0.5, (0, 1)), ["ham", "</td>"], [[1, 0], [0, 1]], class_scores(["ham", "</td>"], np.eye(2)),
    1.0, 2, 0.5, True, [CellRow(1, "<script>alert(1)</script>", 0.5)], True,
)  # fmt: skip
SIDE = compare.Side(A_CLASSIFIER, KIN, None, [MEASURED])
PAGES: dict[str, PageContext] = {
    "home": home.HomePage(default_model="smol", is_remote=True),
    "generate": generate.GeneratePage(
        fields=generate_form.filled({"prompt": "The sea"}), models=["smol"], max_text_bytes=1024, is_remote=False
    ),
    "models": models.ModelsPage(max_upload_bytes=4096, import_dir="/data/import", hub="https://hub.example"),
    "jobs": jobs.JobsPage(),
    "train": train.TrainPage(default_tokenizer="gpt2", presets=(train.Preset("gpt-tiny", "2 layers"),)),
    "model": model.ModelPage(
        A_CLASSIFIER, KIN, None, measured=[MEASURED], has_more_measured=True, has_more_uses=True, matrix=MATRIX
    ),
    "compare": compare.ComparePage(["<b>", "b"], "<b>", "b", (SIDE, SIDE)),
    "compare what is not there": compare.ComparePage(["a"], "a", "</option>", refusal="there is none"),
    "job": jobs.JobPage(job_id="job_1", name="tide", status="queued"),
    "job with checkpoints": jobs.JobPage("job_1", "tide", "running", scrubber=SCRUBBER),
    "job with classes": jobs.JobPage("job_1", "spam", "running", replace(SCRUBBER, kind="classes", stops=())),
    "evaluation": jobs.MeasuringPage(job_id="job_1", name="tide", status="queued"),
    "missing": jobs.MissingPage("No such job", "there is none", "/ui/jobs", "All jobs"),
    "tokens": tokens.TokensPage("gpt2", ("gpt2",), 1024, tokens.Asked()),
    "tokens listed": tokens.TokensPage(
        "gpt2", ("gpt2",), 1024, tokens.Asked(plain="1"), tokens.Listed([Token(1, b"<i>", 0, 3, special=False)], 1)
    ),
    "attention": attention.AttentionPage(
        "smol", ("smol",), (attention.Checkpoint("job_1@3", "<i>, step 3"),), attention.Asked()
    ),
    "attention in tables": attention.AttentionPage("smol", ("smol",), (), attention.Asked(plain="1"), READING),
    "embeddings": embeddings.EmbeddingsPage(
        fields=embedding_form.DEFAULTS | {"model": "<b>gpt</b>"},
        defaults=embedding_form.DEFAULTS | {"model": "smol"},
        models=[embeddings.ModelChoice("<b>gpt</b>", "1 × 2"), embeddings.ModelChoice("gone", "not here", False)],
        datasets=[embeddings.DatasetChoice("ds_1", '"><script>alert(1)</script>')],
        lines=[embeddings.Line("<i>", "id 1", [embeddings.Near("</td>", 0.5)])],
    ),
    "datasets": datasets.DatasetsPage([A_DATASET], has_more=True, max_upload_bytes=4096),
    "dataset": dataset.DatasetPage(A_DATASET, Uses([], False, ["m"], ["t"]), ["gpt2"], "gpt2", [A_DATASET], ["m"]),
    "docs": docs.DocsPage(),
    "sign in": sign_in.SignInPage("/ui/jobs", "That key is <unknown>."),
    "learn": learn.LearnPage(),
    **{f"lesson {one.number}": learn.page_of(one, Offers([], [], is_remote=False)) for one in CHAPTERS},
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
    wrapped = {"checkbox", "radio", "hidden"}  # these stand inside their labels; what is hidden is no field
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
    assert headers["cache-control"] == "no-cache"


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


AT_ONCE = r'from "(\./[^"]+)"'
LATER = r'(?:from |import\()"(\./[^"]+)"'


def modules_of(script: Path, imports: str = AT_ONCE) -> set[Path]:
    """The module and all that it imports, directly or not."""
    found, todo = set(), [script]
    while todo:
        module = todo.pop()
        if module not in found:
            found.add(module)
            todo += [module.parent / name for name in re.findall(imports, module.read_text())]
    return {path.resolve() for path in found}


@pytest.mark.parametrize("template", sorted(TEMPLATES.glob("*.html")), ids=lambda path: path.name)
def test_our_script_stays_small(template: Path) -> None:
    """What a browser loads for one page, of ours and before it is packed: at first, and in all."""
    entries = re.findall(r'src="/static/(js/[^"]+)"', template.read_text())
    for imports, most in ((AT_ONCE, 60_000), (LATER, 100_000)):
        modules = {module for entry in entries for module in modules_of(STATIC / entry, imports)}
        assert sum(path.stat().st_size for path in modules) < most


def test_plotly_comes_where_a_plot_is_and_nowhere_else() -> None:
    plotly = STATIC / "js" / "plotly.js"
    assert "/static/plotly/plotly.min.js" in plotly.read_text()
    having = set()
    for template in TEMPLATES.glob("*.html"):
        source = template.read_text()
        assert "plotly.min.js" not in source  # it would hold up the page's own
        if any(
            plotly in modules_of(STATIC / entry, LATER) for entry in re.findall(r'src="/static/(js/[^"]+)"', source)
        ):
            having.add(template.name)
    assert having == {"embeddings.html", "job.html"}


def test_all_of_our_script_is_small_when_packed() -> None:
    whole = b"".join(path.read_bytes() for path in sorted((STATIC / "js").rglob("*.js")))
    assert len(gzip.compress(whole)) < 120_000


@pytest.mark.parametrize("path", sorted((STATIC / "js").rglob("*.js")), ids=lambda path: path.name)
def test_script_writes_text_and_never_markup(path: Path) -> None:
    written = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|setAttribute\(\"style"
    assert not re.search(written, path.read_text())
    assert not re.search(r"https?://", path.read_text())


def test_each_template_is_used() -> None:
    sources = "".join(path.read_text() for path in TEMPLATES.glob("*.html"))
    named = {page.template for page in PAGES.values()} | set(re.findall(r'(?:extends|include|from) "([^"]+)"', sources))
    assert {path.name for path in TEMPLATES.glob("*.html")} == named
