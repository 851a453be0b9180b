"""/v1/files as the public client uses it: datasets under another name, with the bytes that were sent."""

from __future__ import annotations

import gzip
import io

import httpx
import openai
import pytest

from app.services import receiving
from app.services.datasets import SAMPLES
from tests.api.openai.conftest import refusal
from tests.jobs_made import queued

CHAT = b'{"messages": [{"role": "user",  "content": "Tide?"}, {"role": "assistant", "content": "Low."}]}\n\n' * 3


def upload(site, content: bytes = CHAT, name: str = "chat.jsonl", purpose: str = "fine-tune"):
    return site.openai.files.create(file=(name, content), purpose=purpose)


def test_a_file_is_a_dataset_with_the_same_id(site):
    sent = upload(site)
    assert (sent.object, sent.filename, sent.purpose, sent.status) == ("file", "chat.jsonl", "fine-tune", "processed")
    assert sent.bytes == len(CHAT)
    dataset = site.native.get(f"/datasets/{sent.id}").json()
    assert (dataset["id"], dataset["kind"], dataset["rows"]) == (sent.id, "chat", 3)
    assert site.openai.files.retrieve(sent.id) == sent

    other = site.native.post("/datasets", files={"file": ("rows.csv", b"label;text\n1;tide\n")}).json()
    seen = site.openai.files.retrieve(other["id"])
    assert (seen.filename, seen.purpose, seen.bytes) == ("rows.csv", "fine-tune", 18)
    assert site.openai.files.content(other["id"]).content == b"label;text\n1;tide\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat.jsonl", CHAT),
        ("chat.jsonl.gz", gzip.compress(CHAT, mtime=0)),
        ("story.txt", "\ufeffThe tide.\r\n".encode()),
        ("story.txt.gz", gzip.compress(b"The tide.", mtime=0)),
    ],
    ids=["rows", "packed rows", "text", "packed text"],
)
def test_the_content_is_what_was_sent(site, name, content):
    sent = upload(site, content, name)
    assert sent.bytes == len(content)
    answer = site.openai.files.content(sent.id)
    assert answer.content == content
    assert answer.response.headers["content-disposition"] == f'attachment; filename="{name}"'
    site.openai.files.delete(sent.id)
    storage = site.runtime.storage
    assert not storage.original(sent.id).exists()
    assert not storage.dataset(sent.id).exists()


def test_files_that_ship_have_their_content(site):
    assert site.openai.files.content("small-tasks").content == (SAMPLES / "small-tasks.jsonl").read_bytes()
    with pytest.raises(openai.ConflictError) as told:
        site.openai.files.delete("small-tasks")
    assert told.value.response.headers["x-should-retry"] == "false"


def test_a_file_of_before_originals_were_kept_says_so(site):
    sent = upload(site)
    site.runtime.storage.original(sent.id).unlink()
    with pytest.raises(openai.APIStatusError) as told:
        site.openai.files.content(sent.id)
    assert refusal(told.value) == (424, "data_missing", None)


def test_bytes_without_a_name_are_jsonl_where_they_begin_as_that_does(site):
    assert site.native.get(f"/datasets/{site.openai.files.create(file=CHAT, purpose='evals').id}").json()["rows"] == 3
    sent = site.openai.files.create(file=io.BytesIO(b"The tide {came}."), purpose="user_data")
    assert site.native.get(f"/datasets/{sent.id}").json()["kind"] == "text"


def test_lists_by_purpose_order_and_page(site):
    ids = [upload(site, name=f"{n}.jsonl", purpose=purpose).id for n, purpose in enumerate(["evals", "fine-tune"] * 2)]
    assert [file.id for file in site.openai.files.list(purpose="evals")] == [ids[2], ids[0]]
    assert [file.id for file in site.openai.files.list(purpose="evals", order="asc")] == [ids[0], ids[2]]
    assert list(site.openai.files.list(purpose="batch")) == []
    first = site.openai.files.list(limit=3)
    assert (first.has_more, [file.id for file in first.data]) == (True, [ids[3], ids[2], ids[1]])
    everything = [file.id for file in first]  # the client asks for further pages
    shipped = [dataset["id"] for dataset in site.native.get("/datasets").json()["data"]][4:]
    assert everything == [*ids[::-1], *shipped]
    assert [file.id for file in site.openai.files.list(order="asc", limit=2)] == everything[::-1]


def test_rows_that_cannot_be_read_are_told(site):
    sent = upload(site, CHAT + b"{broken\n")
    assert sent.status_details is not None
    assert sent.status_details.startswith("1 rows cannot be read and are left out; line 7: ")


@pytest.mark.parametrize("purpose", ["batch", "assistants", "vision", "fine-tune-results", "tides"])
def test_a_purpose_that_nothing_here_has_is_refused(site, purpose):
    with pytest.raises(openai.BadRequestError) as told:
        upload(site, purpose=purpose)
    assert refusal(told.value) == (400, "invalid_value", "purpose")
    assert list(site.runtime.storage.scratch.iterdir()) == []


def test_other_bad_uploads_are_refused_and_leave_nothing(site):
    before = site.native.get("/datasets").json()
    with pytest.raises(openai.BadRequestError) as told:
        upload(site, b"")
    assert refusal(told.value)[1:] == ("invalid_file", "file")
    with pytest.raises(openai.BadRequestError) as told:
        upload(site, b'{"messages": \n')
    assert refusal(told.value)[1:] == ("invalid_file", "file")
    with pytest.raises(openai.APIStatusError) as told:
        upload(site, b"\x89PNG\r\n\x1a\n\0\0", "picture.png")
    assert refusal(told.value) == (415, "unsupported_format", "file")
    expires = {"anchor": "created_at", "seconds": 3600}
    with pytest.raises(openai.BadRequestError) as told:
        site.openai.files.create(file=("a.jsonl", CHAT), purpose="fine-tune", expires_after=expires)
    assert refusal(told.value)[1].startswith("unknown_field")
    assert site.native.post("/v1/files", data={"purpose": "fine-tune"}).status_code == 400
    assert site.native.post("/v1/files", files={"file": ("a.txt", b"tide")}).status_code == 400
    assert site.native.get("/datasets").json() == before
    for folder in (site.runtime.storage.scratch, site.runtime.storage.data_dir / "originals"):
        assert list(folder.iterdir()) == []


def test_a_disk_that_fills_up_with_the_copy_leaves_nothing(site, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(receiving.shutil, "copyfileobj", full)
    with pytest.raises(openai.InternalServerError) as told:
        upload(site)
    assert refusal(told.value) == (507, "no_disk_space", "file")
    assert told.value.response.headers["x-should-retry"] == "false"
    assert list(site.runtime.storage.scratch.iterdir()) == []


def test_a_file_that_a_waiting_job_needs_stays(site):
    sent = upload(site)
    job_id = queued(site.runtime.database, datasets=[{"dataset": sent.id, "weight": 1.0}])
    with pytest.raises(openai.ConflictError) as told:
        site.openai.files.delete(sent.id)
    assert job_id in told.value.message
    assert site.openai.files.content(sent.id).content == CHAT
    assert site.native.post(f"/jobs/{job_id}/cancel").status_code == 200
    assert site.openai.files.delete(sent.id).deleted is True


def test_one_that_is_not_there(site):
    files = site.openai.files
    for call in (files.retrieve, files.content, files.delete):
        with pytest.raises(openai.NotFoundError) as told:
            call("file-nowhere")
        assert refusal(told.value)[:2] == (404, "dataset_not_found")
    with pytest.raises(openai.NotFoundError) as told:
        files.list(after="file-nowhere")
    assert refusal(told.value) == (404, "dataset_not_found", "after")
    for query in ("limit=0", "limit=10001", "order=up", "colour=red", "after=%00"):
        answer: httpx.Response = site.native.get(f"/v1/files?{query}")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, query.partition("=")[0])
