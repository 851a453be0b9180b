"""Uploads good and bad, over the whole application."""

from __future__ import annotations

import gc
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.api.uploads import RECEIVED_AT_ONCE
from app.config import Settings
from app.db.tables import job
from app.main import create_app
from app.services import dataset_preview, datasets, uploads
from tests.jobs_made import a_job

LIMIT = 300_000
SHIPPED = sorted(name.rpartition(".")[0] for name in datasets.BUILT_IN)
CUT_OFF = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhalf of a te'
TEXT = "Zażółć gęślą jaźń.\nこんにちは 👩‍🚀\n"


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service without any assets; datasets of at most 300,000 bytes, JSON bodies of a little over a MiB."""
    chosen = settings.model_copy(
        update={"assets_dir": settings.data_dir / "no-assets", "max_upload_bytes": LIMIT, "max_text_bytes": 1}
    )
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        yield made


def upload(client: TestClient, content: bytes, filename: str = "text.txt", **fields: str):
    return client.post("/datasets", files={"file": (filename, content, "text/plain")}, data=fields)


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"]


def files_of(client: TestClient) -> list[str]:
    data = client.app.state.runtime.settings.data_dir
    return sorted(path.name for folder in ("scratch", "datasets") for path in (data / folder).iterdir())


def test_an_upload_is_kept_byte_for_byte(client):
    response = upload(client, TEXT.encode(), "letters.txt")
    assert response.status_code == 201
    made = response.json()
    assert response.headers["location"] == f"/datasets/{made['id']}"
    assert made == {
        "object": "dataset",
        "id": made["id"],
        "name": "letters.txt",
        "kind": "text",
        "format": "txt",
        "compression": None,
        "source": "upload",
        "bytes": len(TEXT.encode()),
        "characters": len(TEXT),
        "rows": None,
        "columns": [],
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
        "report": {"lines": 2, "byte_order_mark": False, "bad_rows": 0, "errors": []},
        "created_at": made["created_at"],
    }
    assert client.get(f"/datasets/{made['id']}").json() == made
    assert client.app.state.runtime.storage.dataset(made["id"]).read_bytes() == TEXT.encode()
    assert [row["id"] for row in client.get("/datasets").json()["data"]][:2] == [made["id"], "the-tide-clock"]


@pytest.mark.parametrize(
    ("filename", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\texts\\mine.txt", "mine.txt"),
        ("a\u202egpj.txt", "agpj.txt"),
        ("x" * 300 + ".txt", "x" * 200),
        ("<img onerror=1>.txt", "<img onerror=1>.txt"),
    ],
)
def test_a_file_name_is_only_a_label(client, filename, name):
    made = upload(client, b"text", filename).json()
    assert made["name"] == name
    assert files_of(client) == sorted([made["id"], *SHIPPED])


def test_a_name_can_be_given(client):
    assert upload(client, b"text", name="My text").json()["name"] == "My text"
    assert refusal(upload(client, b"text", name="x" * 201)) == (422, "invalid_value", "name")


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 422, "invalid_file"),
        (b" \n\t\n", 422, "invalid_file"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}".encode(), 422, "invalid_file"),
        (b"caf\xe9", 422, "invalid_file"),
        (b"end \xf0\x9f\x91", 422, "invalid_file"),
        (b"\xed\xa0\x80 a surrogate", 422, "invalid_file"),
        (b"a" * 20_000 + b"\0", 422, "invalid_file"),
        (b"\0\1\2\3" * 50, 415, "unsupported_format"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 100, 415, "unsupported_format"),
        (b"%PDF-1.7 and so on", 415, "unsupported_format"),
        (b"PK\x03\x04 and so on", 415, "unsupported_format"),
        (b"\x80\x04\x95 a pickle", 415, "unsupported_format"),
        ("text".encode("utf-16"), 415, "unsupported_format"),
        (b"a" * (LIMIT + 1), 413, "too_large"),
        (b"\xff" * 10, 422, "invalid_file"),
    ],
)
def test_what_is_no_text_is_refused_and_leaves_nothing(client, content, status, code):
    assert refusal(upload(client, content)) == (status, code, "file")
    assert files_of(client) == SHIPPED
    assert len(client.get("/datasets").json()["data"]) == len(SHIPPED)
    assert upload(client, b"still serving").status_code == 201


def test_the_first_bad_byte_is_told(client):
    content = "żółw ".encode() * 1000 + b"caf\xe9 and more"
    message = upload(client, content).json()["error"]["message"]
    assert str(content.index(b"\xe9")) in message


def test_an_upload_may_be_longer_than_other_bodies_but_not_than_its_own_limit(client):
    assert upload(client, b"a word " * (LIMIT // 7)).status_code == 201
    assert refusal(upload(client, b"a" * LIMIT * 8))[:2] == (413, "too_large")
    response = client.post("/jobs", content=b"[" * 2_000_000, headers={"content-type": "application/json"})
    assert refusal(response)[:2] == (413, "too_large")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({"json": {"file": "text"}}, (422, "missing_field", "file")),
        ({"data": {"file": "text"}}, (422, "invalid_value", "file")),
        ({"files": {"text": ("a.txt", b"text")}}, (422, "missing_field", "file")),
        ({"files": [("file", ("a.txt", b"a")), ("file", ("b.txt", b"b"))]}, (400, "bad_request", None)),
        ({"files": {"file": ("a.txt", b"text")}, "data": {"kind": "images"}}, (422, "invalid_value", "kind")),
        ({"files": {"file": ("a.txt", b"text")}, "data": {"tokeniser": "x"}}, (422, "unknown_field", "tokeniser")),
        ({"files": {"file": ("a.txt", b"text")}, "data": {str(n): "x" for n in range(20)}}, (400, "bad_request", None)),
        ({"files": {"file": ("a.txt", b"text")}, "data": {"name": "x" * 5000}}, (400, "bad_request", None)),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, (400, "bad_request", None)),
    ],
)
def test_forms_that_are_not_an_upload(client, request_, expected):
    assert refusal(client.post("/datasets", **request_)) == expected
    assert files_of(client) == SHIPPED


@pytest.mark.filterwarnings("ignore:Exception ignored in. <function SpooledTemporaryFile")
def test_a_form_that_is_cut_off(client):
    """Starlette lets go of the part that never ended without closing it; Python closes it, and complains."""
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert refusal(client.post("/datasets", content=CUT_OFF, headers=headers)) == (422, "missing_field", "file")
    assert files_of(client) == SHIPPED
    gc.collect()  # the complaint comes now, not in a later test


def test_the_text_that_ships_is_there_and_stays(client, settings):
    shipped = client.get("/datasets/the-tide-clock").json()
    text = Path("samples/the-tide-clock.txt").read_text()
    assert (shipped["source"], shipped["characters"]) == ("builtin", len(text))
    assert refusal(client.delete("/datasets/the-tide-clock")) == (409, "conflict", None)
    with client.app.state.runtime.database.write() as session:  # as when the server starts again
        datasets.register_builtin(session, client.app.state.runtime.storage)
    assert client.get("/datasets/the-tide-clock").json() == shipped
    assert files_of(client) == SHIPPED


def test_a_look_into_a_dataset(client):
    made = upload(client, TEXT.encode()).json()
    path = f"/datasets/{made['id']}/preview"
    assert client.get(path).json() == {
        "id": made["id"],
        "text": TEXT,
        "characters": len(TEXT),
        "rows": None,
        "truncated": False,
    }
    assert client.get(path, params={"characters": 5}).json() | {"id": 0} == {
        "id": 0,
        "text": "Zażół",
        "characters": len(TEXT),
        "rows": None,
        "truncated": True,
    }
    assert refusal(client.get(path, params={"characters": 0})) == (422, "invalid_value", "characters")
    assert refusal(client.get(path, params={"lines": 1})) == (422, "unknown_field", "lines")
    client.app.state.runtime.storage.dataset(made["id"]).unlink()
    assert refusal(client.get(path)) == (424, "data_missing", None)


def test_a_dataset_is_deleted_with_all_that_was_made_of_it(client):
    made = upload(client, TEXT.encode()).json()
    runtime = client.app.state.runtime
    tokens = runtime.storage.tokens(made["id"])
    tokens.mkdir(parents=True)
    (tokens / "ids").write_bytes(b"ids")
    path = f"/datasets/{made['id']}"
    with runtime.database.write() as session:
        a_job(session, id="job_1", validation={"dataset": made["id"]})
    assert refusal(client.delete(path)) == (409, "conflict", None)
    assert client.post("/jobs/job_1/cancel").status_code == 200
    assert client.delete(path).json() == {"id": made["id"], "deleted": True}
    assert refusal(client.get(path)) == (404, "dataset_not_found", None)
    assert refusal(client.delete(path)) == (404, "dataset_not_found", None)
    assert files_of(client) == SHIPPED
    assert not tokens.exists()


@pytest.mark.parametrize("dataset_id", ["nope", "%00", "..%2F..%2Fetc", "a" * 500, "%ED%A0%80"])
def test_ids_that_are_none(client, dataset_id):
    for path in (f"/datasets/{dataset_id}", f"/datasets/{dataset_id}/preview"):
        assert client.get(path).status_code == 404
        assert set(client.get(path).json()) == {"error"}
    assert client.delete(f"/datasets/{dataset_id}").status_code == 404


def test_pages(client):
    ids = [upload(client, f"text {number}".encode()).json()["id"] for number in range(3)]
    first = client.get("/datasets", params={"limit": 2}).json()
    assert ([row["id"] for row in first["data"]], first["has_more"]) == ([ids[2], ids[1]], True)
    second = client.get("/datasets", params={"limit": 2, "after": ids[1]}).json()
    assert ([row["id"] for row in second["data"]], second["has_more"]) == ([ids[0], "the-tide-clock"], True)
    last = client.get("/datasets", params={"limit": 3, "after": "the-tide-clock"}).json()
    assert ({row["id"] for row in last["data"]}, last["has_more"]) == ({*SHIPPED} - {"the-tide-clock"}, False)
    assert refusal(client.get("/datasets", params={"after": "nope"})) == (404, "dataset_not_found", "after")
    assert refusal(client.get("/datasets", params={"limit": 0})) == (422, "invalid_value", "limit")


def test_an_upload_whose_row_is_not_committed_leaves_no_file(client, monkeypatch):
    def broken(*_: object) -> None:
        raise OSError("the disk of the database is full")

    monkeypatch.setattr("sqlalchemy.orm.Session.commit", broken)
    assert upload(client, b"text").status_code == 500
    assert files_of(client) == SHIPPED
    assert list(client.app.state.runtime.storage.scratch.iterdir()) == []


JSONL = b'{"text": "one", "label": "a"}\n\n{"text": "two"\n{"text": "three", "label": "b"}\n'


def test_rows_are_counted_and_what_is_wrong_with_others_is_told(client):
    made = upload(client, JSONL, "rows.jsonl").json()
    assert (made["kind"], made["format"], made["compression"]) == ("labelled", "jsonl", None)
    assert (made["rows"], made["bytes"], made["characters"]) == (2, len(JSONL), len("onethreeab"))
    assert made["columns"] == [
        {"name": "text", "type": "text", "filled": 2, "characters": 8},
        {"name": "label", "type": "text", "filled": 2, "characters": 2},
    ]
    assert made["sha256"] == hashlib.sha256(JSONL).hexdigest()
    report = made["report"]
    assert (report["lines"], report["bad_rows"]) == (4, 1)
    told = "no JSON: Expecting ',' delimiter at character 16"
    assert report["errors"] == [{"line": 3, "field": None, "reason": told}]
    assert client.get(f"/datasets/{made['id']}").json() == made


def test_a_look_at_rows(client):
    path = f"/datasets/{upload(client, JSONL, 'rows.jsonl').json()['id']}/preview"
    first = client.get(path, params={"limit": 1}).json()
    assert (first["text"], first["truncated"]) == (None, True)
    assert first["rows"] == [{"line": 1, "values": {"text": "one", "label": "a"}, "cut": []}]
    second = client.get(path, params={"after": first["rows"][-1]["line"], "characters": 2}).json()
    assert second["rows"] == [{"line": 4, "values": {"text": "th", "label": "b"}, "cut": ["text"]}]
    assert not second["truncated"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"kind": "chat"}, (422, "invalid_value", "kind")),
        ({"kind": "text"}, (422, "invalid_value", "kind")),
        ({"format": "txt", "kind": "records"}, (422, "invalid_value", "kind")),
        ({"format": "xml"}, (422, "invalid_value", "format")),
        ({"format": "parquet"}, (415, "unsupported_format", "file")),
    ],
)
def test_what_is_said_of_a_file_must_be_true_of_it(client, said, expected):
    assert refusal(upload(client, JSONL, "rows.jsonl", **said)) == expected
    assert files_of(client) == SHIPPED


def test_what_is_said_of_a_file_stands_over_its_name(client):
    assert upload(client, JSONL, "rows.jsonl", kind="records").json()["kind"] == "records"
    assert upload(client, JSONL, "rows", format="jsonl").json()["rows"] == 2
    assert upload(client, JSONL, "rows.jsonl", format="txt").json()["kind"] == "text"


@pytest.mark.parametrize(
    ("route", "body"),
    [
        ("/windows", {"dataset": "DATASET", "tokenizer": "words"}),
        ("/tokenizers", {"name": "mine", "kind": "word", "version": 2, "dataset": "DATASET"}),
        ("/tokenizers/report", {"dataset": "DATASET", "tokenizers": ["words"]}),
    ],
)
def test_rows_are_no_text(client, route, body):
    words = {"name": "words", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=words).status_code == 201
    made = upload(client, JSONL, "rows.jsonl").json()["id"]
    body = {name: made if value == "DATASET" else value for name, value in body.items()}
    assert refusal(client.post(route, json=body)) == (422, "invalid_value", "dataset")


def test_a_report_before_a_job(client):
    words = {"name": "words", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=words).status_code == 201
    made = upload(client, JSONL, "rows.jsonl").json()["id"]
    path = f"/datasets/{made}/report"
    wanted = {"tokenizer": "words", "validation": made, "context_length": 2}
    told = client.get(path, params=wanted)
    assert told.status_code == 200
    assert told.json()["errors"]["count"] == 1
    assert told.json()["overlap"]["share"] == 1.0
    assert client.get(path, params=wanted).json() == told.json()
    text = client.get("/datasets/the-tide-clock/report", params={"tokenizer": "words"}).json()
    assert text["looked_at"]["unit"] == "paragraph"
    assert refusal(client.get(path, params={"tokenizer": "none"})) == (404, "tokenizer_not_found", "tokenizer")
    assert refusal(client.get(path, params={"context_length": 0})) == (422, "invalid_value", "context_length")
    assert refusal(client.get("/datasets/ds_none/report")) == (404, "dataset_not_found", None)


def test_the_first_batches_of_a_job(client):
    words = {"name": "words", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
    assert client.post("/tokenizers", json=words).status_code == 201
    path = "/datasets/the-tide-clock/batches"
    wanted = {"tokenizer": "words", "context_length": 8, "batch_size": 2, "seed": 1, "limit": 2}
    found = client.get(path, params=wanted).json()
    assert (found["seed"], len(found["data"]), found["has_more"]) == (1, 2, True)
    assert [len(row) for row in found["data"][0]["inputs"]] == [8, 8]
    assert client.get(path, params=wanted | {"seed": 2}).json()["data"] != found["data"]
    assert refusal(client.get("/datasets/ds_none/batches", params=wanted))[:2] == (404, "dataset_not_found")
    assert refusal(client.get(path, params={"steps": 1})) == (422, "unknown_field", "steps")


def test_few_uploads_are_read_at_once(client, monkeypatch: pytest.MonkeyPatch):
    at_once, most, entered = 0, 0, threading.Lock()
    receive = uploads.receive

    def watched(*args):
        nonlocal at_once, most
        with entered:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.1)
        try:
            return receive(*args)
        finally:
            with entered:
                at_once -= 1

    monkeypatch.setattr(uploads, "receive", watched)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda n: upload(client, b"text %d" % n).status_code, range(6)))
    assert (found, most) == ([201] * 6, RECEIVED_AT_ONCE)


def test_others_write_while_a_preview_reads_its_file(client, monkeypatch: pytest.MonkeyPatch):
    made = upload(client, JSONL, "rows.jsonl").json()["id"]
    preview = dataset_preview.preview
    database = client.app.state.runtime.database

    def slow(*args):
        with database.write() as session:
            session.add(a_job(session, id="job_meanwhile"))
        return preview(*args)

    monkeypatch.setattr(dataset_preview, "preview", slow)
    assert client.get(f"/datasets/{made}/preview", params={"after": 1}).status_code == 200
    with database.read() as session:
        assert job.get(session, "job_meanwhile") is not None


def test_a_refusal_tells_a_dataset_by_its_name(client):
    """An id that was drawn says nothing to the person who sent the file."""
    rows = upload(client, b"text,label\nhigh water,tide\n", "harbour.csv").json()
    words = upload(client, b"high water", "sea.txt").json()
    train = {"max_steps": 1, "context_length": 32, "sample_prompt": "high"}
    job = {"recipe": "pretrain", "model": {"preset": "gpt-tiny"}, "tokenizer": "sea", "train": train}
    word = {"kind": "word", "version": 1}
    assert client.post("/tokenizers", json=word | {"name": "sea", "dataset": words["id"]}).status_code == 201
    asked = [
        (rows, "/tokenizers", word | {"name": "x", "dataset": rows["id"]}),
        (rows, "/tokenizers/report", {"dataset": rows["id"], "tokenizers": ["sea"]}),
        (rows, "/windows", {"dataset": rows["id"], "tokenizer": "sea"}),
        (rows, "/jobs", job | {"dataset": [{"dataset": rows["id"], "column": "no"}]}),
        (words, "/jobs", job | {"dataset": words["id"], "validation": 0}),
        (words, "/tokenizers", {"name": "x", "kind": "bpe", "dataset": words["id"], "vocab_size": 9000}),
    ]
    for dataset, route, body in asked:
        refused = client.post(route, json=body)
        assert f"{dataset['name']} ({dataset['id']})" in refused.json()["error"]["message"], (route, refused.text)
    client.app.state.runtime.storage.dataset(words["id"]).unlink()
    gone = client.get(f"/datasets/{words['id']}/preview").json()["error"]
    assert f"sea.txt ({words['id']})" in gone["message"]
