import json
import threading
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables.checkpoint import CheckpointRow, remove
from app.db.tables.job import JobRow
from app.main import create_app
from tests.jobs_made import a_dataset, a_job, a_model

TEXT = "the tide, the clock"
NEW = {"name": "tides", "kind": "word", "version": 2, "dataset": "ds_1"}


@pytest.fixture
def client(settings: Settings) -> Iterator[TestClient]:
    """The service without any assets, with one small dataset."""
    chosen = settings.model_copy(update={"assets_dir": settings.data_dir / "no-assets"})
    with TestClient(create_app(chosen), raise_server_exceptions=False) as made:
        runtime = made.app.state.runtime
        runtime.storage.dataset("ds_1").write_text(TEXT)
        with runtime.database.write() as session:
            a_dataset(session, "ds_1", size_bytes=len(TEXT))
        yield made


def refusal(response) -> tuple[int, str, str | None]:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"]


def test_the_list_tells_what_is_missing_and_how_to_get_it(client):
    answer = client.get("/tokenizers").json()
    assert (answer["object"], answer["has_more"]) == ("list", False)
    by_name = {row["name"]: row for row in answer["data"]}
    assert list(by_name) == ["gpt2", "r50k_base", "p50k_base", "cl100k_base", "o200k_base", "smollm2"]
    assert by_name["cl100k_base"] | {"hint": ""} == {
        "object": "tokenizer",
        "name": "cl100k_base",
        "kind": "bpe",
        "version": None,
        "vocab_size": 100277,
        "special_tokens": [
            "<|endoftext|>",
            "<|fim_prefix|>",
            "<|fim_middle|>",
            "<|fim_suffix|>",
            "<|endofprompt|>",
        ],
        "source": "tiktoken",
        "dataset": None,
        "dataset_name": None,
        "trained_bytes": None,
        "available": False,
        "hint": "",
        "created_at": None,
    }
    assert "curl" in by_name["cl100k_base"]["hint"]


def test_a_word_tokenizer_is_built_listed_used_and_paged(client):
    response = client.post("/tokenizers", json=NEW)
    assert response.status_code == 201
    built = response.json()
    assert built | {"created_at": 0} == {
        "object": "tokenizer",
        "name": "tides",
        "kind": "word",
        "version": 2,
        "vocab_size": 6,
        "special_tokens": ["<|endoftext|>", "<|unk|>"],
        "source": "dataset",
        "dataset": "ds_1",
        "dataset_name": "text.txt",
        "trained_bytes": len(TEXT),
        "available": True,
        "hint": None,
        "created_at": 0,
    }
    assert client.get("/tokenizers").json()["data"][-1] == built
    used = client.post("/encode", json={"text": "the clock , coffee", "tokenizer": "tides"}).json()
    assert used["ids"] == [2, 1, 0, 5]
    page = client.get("/tokenizers/tides/vocab", params={"limit": 4}).json()
    assert page["has_more"]
    the = {"id": 2, "text": "the", "bytes": list(b"the"), "special": False, "merged_from": None, "rank": None}
    assert page["data"][2] == the
    rest = client.get("/tokenizers/tides/vocab", params={"after": 3}).json()
    assert ([entry["text"] for entry in rest["data"]], rest["has_more"]) == (["<|endoftext|>", "<|unk|>"], False)


def test_a_name_is_given_once(client):
    assert client.post("/tokenizers", json=NEW).status_code == 201
    assert refusal(client.post("/tokenizers", json=NEW)) == (409, "name_taken", "name")
    assert refusal(client.post("/tokenizers", json=NEW | {"name": "gpt2"})) == (409, "name_taken", "name")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"dataset": "ds_2"}, (404, "dataset_not_found", "dataset")),
        ({"dataset": "../ds_1"}, (404, "dataset_not_found", "dataset")),
        ({"name": "../up"}, (422, "invalid_value", "name")),
        ({"name": ""}, (422, "invalid_value", "name")),
        ({"name": 5}, (422, "invalid_value", "name")),
        ({"name": "\ud800"}, (422, "invalid_value", "name")),
        ({"kind": "sentencepiece"}, (422, "invalid_value", "kind")),
        ({"kind": "bpe"}, (422, "invalid_value", "version")),
        ({"vocab_size": 300}, (422, "invalid_value", "vocab_size")),
        ({"special_tokens": []}, (422, "invalid_value", "special_tokens")),
        ({"version": 0}, (422, "invalid_value", "version")),
        ({"version": True}, (422, "invalid_value", "version")),
        ({"dataset": None}, (422, "invalid_value", "dataset")),
        ({"added": 1}, (422, "unknown_field", "added")),
    ],
)
def test_what_cannot_be_built_leaves_nothing(client, change, expected):
    body, headers = json.dumps(NEW | change), {"content-type": "application/json"}
    assert refusal(client.post("/tokenizers", content=body, headers=headers)) == expected
    assert len(client.get("/tokenizers").json()["data"]) == 6
    assert list(client.app.state.runtime.storage.tokenizer("x").parent.iterdir()) == []


@pytest.mark.parametrize("field", NEW)
def test_every_field_is_needed(client, field):
    body = {name: value for name, value in NEW.items() if name != field}
    assert refusal(client.post("/tokenizers", json=body)) == (422, "missing_field", field)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
        ("limit=1e3", "limit"),
        ("limit=", "limit"),
        ("after=-1", "after"),
        ("after=x", "after"),
        ("after=6", "after"),
        ("after=" + "9" * 30, "after"),
        ("after=" + "9" * 5000, "after"),
        ("offset=1", "offset"),
    ],
)
def test_wrong_pages_of_a_vocabulary(client, query, param):
    client.post("/tokenizers", json=NEW)
    status, _, at = refusal(client.get(f"/tokenizers/tides/vocab?{query}"))
    assert (status, at) == (422, param)


@pytest.mark.parametrize("query", ["limit=0", "limit=10000", "limit=x", "page=2"])
def test_wrong_pages_of_the_list(client, query):
    assert client.get(f"/tokenizers?{query}").status_code == 422
    assert refusal(client.get("/tokenizers?after=nowhere")) == (404, "tokenizer_not_found", "after")


def test_pages_of_the_list(client):
    first = client.get("/tokenizers?limit=4").json()
    assert first["has_more"]
    last = client.get("/tokenizers", params={"limit": 4, "after": first["data"][-1]["name"]}).json()
    assert ([row["name"] for row in last["data"]], last["has_more"]) == (["o200k_base", "smollm2"], False)


@pytest.mark.parametrize("name", ["nowhere", "a%00", "%F0%9F%91%8D", "..%2f.."])
def test_the_vocabulary_of_a_tokenizer_that_is_not_there(client, name):
    assert client.get(f"/tokenizers/{name}/vocab").status_code == 404


def test_the_vocabulary_of_one_without_its_data(client):
    assert refusal(client.get("/tokenizers/gpt2/vocab")) == (424, "data_missing", "name")


STORY = "The tide came in and the tide went out, and the clock of the tide went on. " * 40
JSON = {"content-type": "application/json"}
BPE = {"name": "tide-bpe", "kind": "bpe", "dataset": "story", "vocab_size": 280}


@pytest.fixture
def story(client) -> TestClient:
    runtime = client.app.state.runtime
    runtime.storage.dataset("story").write_text(STORY)
    with runtime.database.write() as session:
        a_dataset(session, "story", size_bytes=len(STORY), characters=len(STORY))
    return client


def files(client) -> list[str]:
    storage = client.app.state.runtime.storage
    return [path.name for folder in (storage.tokenizer("x").parent, storage.scratch) for path in folder.iterdir()]


def test_a_byte_pair_tokenizer_is_trained_listed_used_and_deleted(story):
    response = story.post("/tokenizers", json=BPE)
    assert (response.status_code, response.headers["location"]) == (201, "/tokenizers/tide-bpe")
    made = response.json()
    assert made.pop("created_at") > 0
    assert made == {
        "object": "tokenizer",
        "name": "tide-bpe",
        "kind": "bpe",
        "version": None,
        "vocab_size": 280,
        "special_tokens": ["<|endoftext|>"],
        "source": "dataset",
        "dataset": "story",
        "dataset_name": "text.txt",
        "trained_bytes": len(STORY),
        "available": True,
        "hint": None,
    }
    assert story.get("/tokenizers/tide-bpe").json()["vocab_size"] == 280
    assert story.get("/tokenizers").json()["data"][-1]["name"] == "tide-bpe"
    ids = story.post("/encode", json={"text": "the tide 👍", "tokenizer": "tide-bpe"}).json()["ids"]
    assert story.post("/decode", json={"ids": ids, "tokenizer": "tide-bpe"}).json() == {"text": "the tide 👍"}
    entries = story.get("/tokenizers/tide-bpe/vocab", params={"after": 255}).json()["data"]
    whole = story.get("/tokenizers/tide-bpe/vocab?limit=1000").json()["data"]
    bytes_of = {entry["id"]: entry["bytes"] for entry in whole}
    assert entries[-1]["special"]
    assert (entries[-1]["merged_from"], entries[-1]["rank"]) == (None, None)
    assert {entry["rank"] for entry in whole[:256]} == {None}  # a byte is there without a merge
    for rank, entry in enumerate(entries[:-1]):
        assert entry["rank"] == rank
        left, right = entry["merged_from"]
        assert entry["bytes"] == bytes_of[left] + bytes_of[right]
    assert story.delete("/tokenizers/tide-bpe").json() == {"object": "tokenizer", "name": "tide-bpe", "deleted": True}
    assert files(story) == []
    assert refusal(story.get("/tokenizers/tide-bpe")) == (404, "tokenizer_not_found", "name")
    assert refusal(story.post("/encode", json={"text": "x", "tokenizer": "tide-bpe"}))[0] == 404


def test_a_name_that_is_free_again_gives_the_new_tokenizer(story):
    story.post("/tokenizers", json=BPE)
    before = story.post("/encode", json={"text": STORY, "tokenizer": "tide-bpe"}).json()["count"]
    story.delete("/tokenizers/tide-bpe")
    story.post("/tokenizers", json=BPE | {"vocab_size": 257})
    assert story.post("/encode", json={"text": STORY, "tokenizer": "tide-bpe"}).json()["count"] == len(STORY) > before


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"vocab_size": None}, (422, "missing_field", "vocab_size")),
        ({"vocab_size": 256}, (422, "invalid_value", "vocab_size")),
        ({"vocab_size": 0}, (422, "invalid_value", "vocab_size")),
        ({"vocab_size": -1}, (422, "invalid_value", "vocab_size")),
        ({"vocab_size": 10**30}, (422, "invalid_value", "vocab_size")),
        ({"vocab_size": 100_000}, (422, "invalid_value", "vocab_size")),  # more than the text can give
        ({"vocab_size": True}, (422, "invalid_value", "vocab_size")),
        ({"vocab_size": "300"}, (422, "invalid_value", "vocab_size")),
        ({"special_tokens": ["<|a|>", ""]}, (422, "invalid_value", "special_tokens.1")),
        ({"special_tokens": ["<|a|>", "<|a|>"]}, (422, "invalid_value", "special_tokens.1")),
        ({"special_tokens": ["<|a|>", "<|a|>b"]}, (422, "invalid_value", "special_tokens.0")),
        ({"special_tokens": ["the"]}, (422, "invalid_value", "special_tokens.0")),
        ({"special_tokens": ["<|" + "a" * 63]}, (422, "invalid_value", "special_tokens.0")),
        ({"special_tokens": ["<|\ud800|>"]}, (422, "invalid_value", "special_tokens.0")),
        ({"special_tokens": ["<|\0|>"]}, (422, "invalid_value", "special_tokens.0")),
        ({"special_tokens": [f"<|{n}|>" for n in range(65)]}, (422, "invalid_value", "special_tokens")),
        ({"special_tokens": "<|a|>"}, (422, "invalid_value", "special_tokens")),
        ({"version": 2}, (422, "invalid_value", "version")),
        ({"dataset": "blank"}, (422, "invalid_value", "dataset")),
        ({"dataset": "nowhere"}, (404, "dataset_not_found", "dataset")),
        ({"dataset": "gone"}, (424, "data_missing", "dataset")),
        ({"name": "smollm2"}, (409, "name_taken", "name")),
        ({"min_frequency": 1}, (422, "unknown_field", "min_frequency")),
    ],
)
def test_what_cannot_be_trained_leaves_nothing(story, change, expected):
    runtime = story.app.state.runtime
    runtime.storage.dataset("blank").write_text(" \n" * 3)
    with runtime.database.write() as session:
        a_dataset(session, "blank")
        a_dataset(session, "gone")
    body = {name: value for name, value in (BPE | change).items() if value is not None}
    assert refusal(story.post("/tokenizers", content=json.dumps(body), headers=JSON)) == expected
    assert files(story) == []
    assert len(story.get("/tokenizers").json()["data"]) == 6


def test_one_is_trained_at_a_time_and_the_next_is_told_when_to_come(story):
    answers, body = [], BPE | {"dataset": "the-tide-clock", "vocab_size": 1000}

    def ask(n: int) -> None:
        answers.append(story.post("/tokenizers", json=body | {"name": f"tide-{n}"}))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status_code for answer in answers} <= {201, 429}
    for answer in answers:
        if answer.status_code == 429:
            assert (refusal(answer)[1], answer.headers["retry-after"]) == ("queue_full", "10")
    made = [answer.json()["name"] for answer in answers if answer.status_code == 201]
    assert made
    vocabularies = {json.dumps(story.get(f"/tokenizers/{name}/vocab?limit=1000").json()["data"]) for name in made}
    assert len(vocabularies) == 1


def test_what_is_needed_stays(story):
    story.post("/tokenizers", json=BPE)
    runtime = story.app.state.runtime
    assert refusal(story.delete("/tokenizers/gpt2")) == (409, "conflict", "name")
    assert refusal(story.delete("/tokenizers/nowhere")) == (404, "tokenizer_not_found", "name")
    with runtime.database.write() as session:
        job_id = a_job(session, tokenizer="tide-bpe").id
    assert refusal(story.delete("/tokenizers/tide-bpe")) == (409, "conflict", "name")
    with runtime.database.write() as session:
        session.get(JobRow, job_id).status = "cancelled"
        session.add(
            CheckpointRow(
                id=f"{job_id}@1",
                job_id=job_id,
                step=1,
                attempt=1,
                fence=1,
                path="x",
                size_bytes=1,
                sha256="",
                metrics={},
            )
        )
    assert "checkpoints" in story.delete("/tokenizers/tide-bpe").json()["error"]["message"]
    with runtime.database.write() as session:
        remove(session, f"{job_id}@1")
        session.add(a_model("tide", tokenizer="tide-bpe"))
    assert "model tide" in story.delete("/tokenizers/tide-bpe").json()["error"]["message"]
    assert files(story) == ["tide-bpe.json"]


def test_merges_are_told_from_bytes_to_tokens(story):
    story.post("/tokenizers", json=BPE)
    answer = story.get("/tokenizers/tide-bpe/merges", params={"text": "the tide"}).json()
    assert [word["text"] for word in answer["words"]] == ["the", " tide"]
    assert answer["count"] == sum(len(word["tokens"]) for word in answer["words"])
    for word in answer["words"]:
        pieces = [bytes(piece["bytes"]) for piece in word["bytes"]]
        assert all(len(piece) == 1 for piece in pieces)
        for step in word["steps"]:
            at = step["at"]
            assert [bytes(step[side]["bytes"]) for side in ("left", "right")] == pieces[at : at + 2]
            pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
            assert [bytes(piece["bytes"]) for piece in step["pieces"]] == pieces
            assert step["id"] == 256 + step["rank"]
        assert [bytes(token["bytes"]) for token in word["tokens"]] == pieces
    ids = story.post("/encode", json={"text": "the tide", "tokenizer": "tide-bpe"}).json()["ids"]
    assert [token["id"] for word in answer["words"] for token in word["tokens"]] == ids


def test_merges_that_cannot_be_told(story):
    story.post("/tokenizers", json=NEW)
    story.post("/tokenizers", json=BPE)
    assert refusal(story.get("/tokenizers/tides/merges?text=tide")) == (422, "invalid_value", "name")
    assert refusal(story.get("/tokenizers/nowhere/merges?text=tide")) == (404, "tokenizer_not_found", "name")
    assert refusal(story.get("/tokenizers/gpt2/merges?text=tide")) == (424, "data_missing", "name")
    assert refusal(story.get("/tokenizers/tide-bpe/merges")) == (422, "missing_field", "text")
    assert refusal(story.get("/tokenizers/tide-bpe/merges?text=")) == (422, "invalid_value", "text")
    assert refusal(story.get("/tokenizers/tide-bpe/merges?text=" + "a" * 65)) == (422, "invalid_value", "text")
    assert refusal(story.get("/tokenizers/tide-bpe/merges?text=a&step=1")) == (422, "unknown_field", "step")


def test_a_report_compares_tokenizers_on_a_text(story):
    for body in (NEW, NEW | {"name": "tides-1", "version": 1}, BPE):
        assert story.post("/tokenizers", json=body).status_code == 201
    names = ["tide-bpe", "tides", "tides-1"]
    text = "the tide, the clock\n\nthe moon"
    answer = story.post("/tokenizers/report", json={"text": text, "tokenizers": names}).json()
    assert (answer["dataset"], answer["characters"], answer["bytes"]) == (None, len(text), len(text))
    bpe, second, first = answer["data"]
    assert (bpe["lines"], bpe["round_trip_failures"], bpe["unknown"], bpe["unknown_rate"]) == (2, 0, 0, 0.0)
    assert bpe["characters_per_token"] == len(text) / bpe["tokens"]
    assert (second["tokens"], second["unknown"], second["unknown_examples"]) == (7, 1, ["moon"])
    assert second["unknown_rate"] == 1 / 7
    failure = {"line": 3, "text": "the moon", "decoded": "the <|unk|>", "unknown_word": None}
    assert (second["round_trip_failures"], second["round_trip_examples"]) == (1, [failure])
    assert (first["tokens"], first["characters_per_token"], first["unknown_examples"]) == (None, None, ["moon"])
    assert first["round_trip_examples"] == [failure | {"decoded": None, "unknown_word": "moon"}]
    of_dataset = story.post("/tokenizers/report", json={"dataset": "story", "tokenizers": ["tide-bpe"]}).json()
    assert (of_dataset["dataset"], of_dataset["characters"]) == ("story", len(STORY))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"text": None}, (422, "invalid_value", "text")),
        ({"dataset": "story"}, (422, "invalid_value", "text")),
        ({"text": ""}, (422, "invalid_value", "text")),
        ({"text": "\ud800"}, (422, "invalid_value", "text")),
        ({"text": "a" * (256 * 1024 + 1)}, (413, "too_large", "text")),
        ({"text": None, "dataset": "nowhere"}, (404, "dataset_not_found", "dataset")),
        ({"tokenizers": []}, (422, "invalid_value", "tokenizers")),
        ({"tokenizers": ["tides"] * 9}, (422, "invalid_value", "tokenizers")),
        ({"tokenizers": ["tides", "tides"]}, (422, "invalid_value", "tokenizers.1")),
        ({"tokenizers": ["tides", "nowhere"]}, (404, "tokenizer_not_found", "tokenizers.1")),
        ({"tokenizers": ["gpt2"]}, (424, "data_missing", "tokenizers.0")),
        ({"added": 1}, (422, "unknown_field", "added")),
    ],
)
def test_reports_that_cannot_be_made(story, change, expected):
    story.post("/tokenizers", json=NEW)
    body = {k: v for k, v in ({"text": "the tide", "tokenizers": ["tides"]} | change).items() if v is not None}
    assert refusal(story.post("/tokenizers/report", content=json.dumps(body), headers=JSON)) == expected
