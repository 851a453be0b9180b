"""The pages of data, as the server sends them and as a browser without JavaScript uses them."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.api.pages.render import STRICT_POLICY
from app.config import Settings
from app.db.tables.job import JobRow
from app.main import create_app
from tests.jobs_made import a_job
from tests.no_assets import no_assets

ROWS = """{"instruction": "Say <script>alert(1)</script>", "output": "<img src=x onerror=alert(2)>"}
{broken
{"instruction": "say it in JSON", "output": ["a", {"b": "<i>"}]}
{"instruction": "%s", "output": "long"}
""" % ("x" * 700)
NAME = '"><script>alert(1)</script> ملف.jsonl'


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("data-pages")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=no_assets(folder / "no-assets"),
        database_url="", broker_url="", max_upload_bytes=200_000,
    )  # fmt: skip
    with TestClient(create_app(settings), raise_server_exceptions=False, follow_redirects=False) as made:
        yield made


@pytest.fixture
def rows(client: TestClient) -> Iterator[str]:
    """The id of a dataset of rows with an odd name and odd content."""
    made = client.post("/datasets", files={"file": ("rows.jsonl", ROWS)}, data={"name": NAME})
    assert made.status_code == 201, made.text
    yield made.json()["id"]
    client.delete(f"/datasets/{made.json()['id']}")


def test_the_list_shows_what_there_is_as_text(client: TestClient, rows: str) -> None:
    answer = client.get("/ui/datasets")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STRICT_POLICY
    assert '<a href="/ui/datasets" aria-current="page">Data</a>' in answer.text
    assert f'<a href="/ui/datasets/{rows}"><bdi>&#34;&gt;&lt;script&gt;alert(1)&lt;/script&gt; ملف.jsonl' in answer.text
    assert "1 bad row<" in answer.text
    for name in ("the-tide-clock", "ferry-messages", "small-tasks", "better-answers"):
        assert f'href="/ui/datasets/{name}"' in answer.text


def test_a_form_without_script_leads_to_its_dataset(client: TestClient) -> None:
    files = {"file": ("story.txt", "Once upon a time.")}
    answer = client.post("/ui/datasets", files=files, data={"name": "", "kind": ""})
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert "<h1><bdi>story.txt</bdi></h1>" in page
    assert "Once upon a time.</pre>" in page
    assert client.post(answer.headers["location"]).headers["location"] == "/ui/datasets"
    assert client.get(answer.headers["location"]).status_code == 404


@pytest.mark.parametrize(
    ("files", "fields", "status", "told"),
    [
        ({"file": ("", "")}, {}, 422, "file: choose one"),
        ({"file": ("a.png", b"\x89PNG\r\n\x1a\n\0\0")}, {}, 415, "text"),
        ({"file": ("a.txt", "a" * 200_001)}, {}, 413, "200"),
        ({"file": ("a.txt", "a")}, {"kind": "poems"}, 422, "kind"),
        ({"file": ("a.txt", "a")}, {"name": "n" * 201}, 422, "name"),
        ({"file": ("a.jsonl", '{"a": 1}')}, {"kind": "chat"}, 422, "chat"),
    ],
)
def test_a_form_that_is_refused_comes_back_with_the_reason(client, files, fields, status, told) -> None:
    answer = client.post("/ui/datasets", files=files, data=fields)
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    [notice] = re.findall(r'id="upload-error" role="alert"><p>(.*?)</p>', answer.text, re.S)
    assert told in notice


def test_rows_are_shown_as_text_by_their_lines(client: TestClient, rows: str) -> None:
    page = client.get(f"/ui/datasets/{rows}").text
    assert "<script>alert" not in page
    assert "&lt;img src=x onerror=alert(2)&gt;" in page
    assert "[&#34;a&#34;, {&#34;b&#34;: &#34;&lt;i&gt;&#34;}]" in page
    assert re.findall(r'<th scope="row" class="number">(\d+)</th>', page) == ["1", "3", "4"]
    assert f">{'x' * 600} …</td>" in page
    behind = client.get(f"/ui/datasets/{rows}?after=3").text
    assert re.findall(r'<th scope="row" class="number">(\d+)</th>', behind) == ["4"]
    assert "behind line 3" in behind
    for odd in ("x", "-1", "9" * 400, "²"):
        assert client.get(f"/ui/datasets/{rows}", params={"after": odd}).status_code == 200


def test_pages_of_rows_follow_one_another(client: TestClient) -> None:
    page = client.get("/ui/datasets/ferry-messages").text
    assert 'href="/ui/datasets/ferry-messages?after=21#rows">Next rows' in page
    last = client.get("/ui/datasets/ferry-messages?after=190").text
    assert "Next rows" not in last
    assert "Delete" not in last  # it ships


def test_what_uses_it_is_told_and_keeps_it(client: TestClient, rows: str) -> None:
    assert "Nothing yet." in client.get(f"/ui/datasets/{rows}").text
    with client.app.state.runtime.database.write() as session:
        shares = [{"dataset": rows, "weight": 1.0}]
        job = a_job(session, recipe="instruct", name="<b>-job", datasets=shares, status="running").id
    page = client.get(f"/ui/datasets/{rows}").text
    assert f'<a href="/ui/jobs/{job}">&lt;b&gt;-job</a>' in page
    refused = client.post(f"/ui/datasets/{rows}")
    assert refused.status_code == 409
    assert re.search(rf'id="dataset-error" role="alert"><p>[^<]*needed by job {job}', refused.text)
    assert [one["id"] for one in client.get("/jobs", params={"dataset": rows}).json()["data"]] == [job]
    with client.app.state.runtime.database.write() as session:
        session.delete(session.get(JobRow, job))
    made = client.post("/tokenizers", json={"name": "story", "kind": "word", "version": 2, "dataset": "the-tide-clock"})
    assert made.status_code == 201
    assert 'tokenizer <a href="/ui/tokens">story</a>' in client.get("/ui/datasets/the-tide-clock").text


def test_a_file_that_is_gone_is_told(client: TestClient, rows: str) -> None:
    client.app.state.runtime.storage.dataset(rows).unlink()
    answer = client.get(f"/ui/datasets/{rows}")
    assert answer.status_code == 424
    assert "gone from the data directory" in answer.text
    assert "They cannot be read." in answer.text


def test_a_dataset_that_is_not_there_is_a_page_that_says_so(client: TestClient) -> None:
    for answer in (client.get("/ui/datasets/ds_<i>"), client.post("/ui/datasets/nope")):
        assert answer.status_code == 404
        assert 'href="/ui/datasets">All datasets' in answer.text
        assert "<i>" not in answer.text


def test_answers_have_a_preview_of_what_is_learnt(client: TestClient) -> None:
    for name, recipe in (("small-tasks", "instruct"), ("better-answers", "dpo")):
        page = client.get(f"/ui/datasets/{name}").text
        assert f'id="taught-form" data-recipe="{recipe}"' in page
        assert f'href="/ui/train?recipe={recipe}&amp;dataset={name}"' in page
    assert "taught-form" not in client.get("/ui/datasets/the-tide-clock").text
