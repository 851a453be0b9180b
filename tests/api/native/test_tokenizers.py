import json
from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app
from tests.jobs_made import a_dataset

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
        "source": "tiktoken",
        "dataset": None,
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
        "source": "dataset",
        "dataset": "ds_1",
        "available": True,
        "hint": None,
        "created_at": 0,
    }
    assert client.get("/tokenizers").json()["data"][-1] == built
    used = client.post("/encode", json={"text": "the clock , coffee", "tokenizer": "tides"}).json()
    assert used["ids"] == [2, 1, 0, 5]
    page = client.get("/tokenizers/tides/vocab", params={"limit": 4}).json()
    assert page["has_more"]
    assert page["data"][2] == {"id": 2, "text": "the", "bytes": list(b"the"), "special": False}
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
        ({"kind": "bpe"}, (422, "invalid_value", "kind")),
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
