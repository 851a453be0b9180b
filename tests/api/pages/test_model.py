"""The page of one model, as the server sends it and as a browser without JavaScript uses it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from app.api.pages.render import STRICT_POLICY
from app.db.tables import model as model_table
from tests.evaluated import House, house_on, settings_in
from tests.jobs_made import a_job, a_model

MARKUP = "<script>alert(1)</script>"
TEXTS = [f"Mira came. {MARKUP}", "The tide turns.", "The boat is here.", "The clock is on the wall."]
TINY = {"vocab_size": 280, "context_length": 8, "emb_dim": 4, "n_heads": 1, "n_layers": 1}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


@pytest.fixture(scope="module")
def told(house: House) -> str:
    """An evaluation of a classifier whose second class is markup."""
    house.add_classifier("filter", ("ham", MARKUP), 0.5)
    rows = [{"text": text, "label": ("ham", MARKUP)[place % 2]} for place, text in enumerate(TEXTS)]
    return house.done({"kind": "accuracy"}, model="filter", dataset=house.add_rows(rows))


def test_a_model_is_told_whole(house: House) -> None:
    job_id = house.done({"kind": "perplexity", "max_rows": 1, "window": 8, "against": ["two"]})
    answer = house.client.get("/ui/models/one")
    assert (answer.status_code, answer.headers["content-security-policy"]) == (200, STRICT_POLICY)
    page = answer.text
    assert "<h1>one</h1>" in page
    for part in ("embeddings", "attention", "feed-forward", "norms", "head"):
        assert f'<th scope="row">{part}</th>' in page
    assert f'<a href="/ui/jobs/{job_id}">perplexity</a>' in page
    perplexity = house.report(job_id)[0]["perplexity"]
    assert f"perplexity <b>{perplexity:.3f}</b>" in page
    assert '<a href="/ui/models/two">two</a>' in page
    for address in (
        "/ui/generate?model=one", "/ui/attention?model=one", "/ui/embeddings?show=frequent&amp;model=one",
        "/ui/jobs?recipe=evaluate&amp;model=one&amp;kind=perplexity", "/ui/compare?a=one",
        "/models/one/export?format=gguf&amp;type=q8_0", "/models/one/download",
    ):  # fmt: skip
        assert f'href="{address}"' in page, address


def test_lineage_is_drawn_from_the_base_to_the_adapters(house: House) -> None:
    with house.runtime.database.write() as session:
        job = a_job(session, recipe="instruct", name="tuned", status="succeeded", model={"name": "old"}, step=7)
        link = {"sha256": None, "job": None, "datasets": [], "origin": None, "licence": None}
        gone = link | {"name": f"old{MARKUP}", "source": "gone"}
        session.add(a_model("tuned", config=TINY, job_id=job.id, base_model=gone["name"], ancestors=[gone]))
        session.flush()
        tuned = link | {"name": "tuned", "source": "job"}
        session.add(a_model("tuned:polite", config=TINY, base_model="tuned", ancestors=[tuned, gone]))
        session.add(a_model("further", config=TINY, base_model="tuned:polite", ancestors=[tuned, gone]))
        job_id = job.id
    page = house.client.get("/ui/models/tuned").text
    tree = re.sub(r"\s+", " ", re.findall(r'(<ul class="tree">.*?)<p>', page, re.S)[0])
    assert "<script" not in tree
    names = [name for name in re.findall(r"[\w:]+", re.sub(r"<[^>]+>", " ", tree)) if name in (
        "old", "tuned", "tuned:polite", "further")]  # fmt: skip
    assert names == ["old", "tuned", "tuned:polite", "further"]
    assert '<strong aria-current="true">tuned</strong>' in tree
    assert '<a href="/ui/models/tuned:polite">tuned:polite</a>' in tree
    assert f'<a class="tree__job" href="/ui/jobs/{job_id}">by instruct</a>' in tree
    assert "not here any more" in tree
    other = house.client.get("/ui/models/tuned%3Apolite")
    assert '<strong aria-current="true">tuned:polite</strong>' in other.text
    assert '<a href="/ui/models/tuned">tuned</a>' in other.text


@pytest.mark.parametrize("name", ["nothing", "%3Cscript%3E", "a:b:c", "job_x@1", "%00"])
def test_a_name_of_no_model_is_told_on_a_page(house: House, name: str) -> None:
    for answer in (
        house.client.get(f"/ui/models/{name}"),
        house.client.post(f"/ui/models/{name}", data={"do": "load"}),
    ):
        assert answer.status_code == 404
        assert "No such model" in answer.text
        assert "GET /" not in answer.text.split("<main")[1].split("</main")[0]
        assert "<script>" not in answer.text


def test_forms_load_unload_and_delete(house: House) -> None:
    house.add_model("visitor", 5)
    post = lambda do: house.client.post("/ui/models/visitor", data={"do": do}, follow_redirects=False)  # noqa: E731
    assert 'value="load">Load into memory' in house.client.get("/ui/models/visitor").text
    for do, offered in (("load", "unload"), ("unload", "load")):
        answer = post(do)
        assert (answer.status_code, answer.headers["location"]) == (303, "/ui/models/visitor")
        assert f'name="do" value="{offered}"' in house.client.get("/ui/models/visitor").text
    odd = post("paint")
    assert (odd.status_code, "do: load, unload or delete" in odd.text) == (422, True)
    answer = post("delete")
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/models")
    assert house.client.get("/ui/models/visitor").status_code == 404


def test_what_cannot_be_deleted_is_told(house: House) -> None:
    shipped = "smollm2-135m-instruct"
    assert 'value="delete"' not in house.client.get(f"/ui/models/{shipped}").text
    answer = house.client.post(f"/ui/models/{shipped}", data={"do": "delete"})
    assert answer.status_code == 409
    assert re.search(r'id="model-error" role="alert"><p>name: [^<]*stays', answer.text)


def matrix(page: str) -> list[int]:
    return [int(number) for number in re.findall(r'#cell"[^>]*>(\d+)</a>', page)]


def test_a_classifier_shows_its_matrix_and_the_rows_of_a_cell(house: House, told: str) -> None:
    (report,) = house.report(told)
    page = house.client.get("/ui/models/filter").text
    assert f'data-report="/jobs/{told}"' in page
    assert matrix(page) == [number for row in report["confusion"] for number in row]
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;</bdi>” is told from" in page
    for is_, row in enumerate(report["confusion"]):
        for place, number in enumerate(row):
            cell = house.client.get("/ui/models/filter", params={"evaluation": told, "is": is_, "told": place}).text
            assert len(re.findall(r'<li><span class="note">line \d+,', cell)) == number
            assert "<script>alert" not in cell


def test_the_threshold_moves_without_script(house: House, told: str) -> None:
    page = house.client.get("/ui/models/filter", params={"evaluation": told, "threshold": "0"}).text
    assert matrix(page) == [0, 2, 0, 2]
    assert "50.0 % are told right" in page
    page = house.client.get("/ui/models/filter", params={"threshold": "1", "is": "1", "told": "0"}).text
    assert matrix(page) == [2, 0, 2, 0]
    assert re.findall(r'<span class="note">line (\d+),', page) == ["2", "4"]


@pytest.mark.parametrize(
    "query", ["threshold=2", "threshold=nan", "threshold=x", "is=9&told=0", "is=-1&told=x", "is=²&told=0", "after=x"]
)
def test_an_odd_address_shows_the_page_all_the_same(house: House, told: str, query: str) -> None:
    answer = house.client.get(f"/ui/models/filter?evaluation={told}&{query}")
    assert answer.status_code == 200
    assert matrix(answer.text) == matrix(house.client.get("/ui/models/filter").text)


@pytest.mark.parametrize("evaluation", ["job_nothing", "training", MARKUP])
def test_a_report_that_is_not_there_is_told(house: House, told: str, evaluation: str) -> None:
    page = house.client.get("/ui/models/filter", params={"evaluation": evaluation}).text
    assert re.search(r'id="model-error" role="alert"><p>[^<]+</p>', page)
    assert "<script>alert" not in page


def test_the_report_of_the_training_stands_where_nothing_was_evaluated(house: House) -> None:
    house.add_classifier("taught", ("ham", "spam"))
    worst = {"label": "ham", "told": "spam", "probability": 0.25, "dataset": "ds", "line": 3, "text": f"a {MARKUP}"}
    report = {
        "part": "test", "rows": 2, "accuracy": 0.5, "threshold": None, "confusion": [[0, 1], [0, 1]], "worst": [worst],
        "classes": [{"name": "ham"}, {"name": "spam"}],
    }  # fmt: skip
    with house.runtime.database.write() as session:
        row = model_table.get(session, "taught")
        assert row is not None
        row.report = report
    page = house.client.get("/ui/models/taught?evaluation=training&is=0&told=1").text
    assert matrix(page) == [0, 1, 0, 1]
    assert "line 3, 75.0 %" in page
    assert "threshold-form" not in page  # an older report does not say what another one would do
    assert "a &lt;script&gt;" in page


def test_the_list_leads_to_each_model_without_script(house: House) -> None:
    page = house.client.get("/ui/models").text
    assert '<a href="/ui/models/one">one</a>' in page
    assert 'href="/ui/compare"' in page
