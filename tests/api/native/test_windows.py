"""Windows and batches over the wire: the book's examples exactly, pages, and what is refused."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fastapi.testclient import TestClient
from torch.utils.data import DataLoader

from app.config import Settings
from app.llm.data import order
from app.main import create_app
from app.schemas.windows import WindowsOut
from app.services import windows

BOOK = {"tokenizer": "gpt2", "shuffle": False}


@pytest.fixture(scope="module")
def client(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service with tiktoken's files, without the default model; with a strict word tokenizer of the story."""
    folder = tmp_path_factory.mktemp("windows")
    (folder / "assets").mkdir()
    os.symlink(assets / "tiktoken", folder / "assets" / "tiktoken")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=folder / "assets", database_url="", broker_url=""
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        new = {"name": "strict", "kind": "word", "version": 1, "dataset": "the-tide-clock"}
        assert made.post("/tokenizers", json=new).status_code == 201
        yield made


def cut(client: TestClient, **fields: object) -> dict:
    response = client.post("/windows", json=fields)
    assert response.status_code == 200, response.text
    answer = response.json()
    WindowsOut.model_validate(answer)
    return answer


def refusal(client: TestClient, **fields: object) -> tuple[int, str, str | None]:
    content = json.dumps(fields)
    response = client.post("/windows", content=content, headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"]


def test_the_books_growing_contexts(client, golden, verdict):
    """ch02.window.pairs: the prefixes of one window, each with the token after it, as ids and as text."""
    expected = golden("ch02.window.pairs")["expected"]
    ids = client.post("/encode", json={"text": verdict, "tokenizer": "gpt2"}).json()["ids"][50:]
    answer = cut(client, ids=ids, **BOOK, max_length=4, stride=1, batch_size=1, limit=1)
    batch = answer["data"][0]
    inputs, targets = batch["inputs"][0], batch["targets"][0]
    assert [[inputs[: i + 1], targets[i]] for i in range(4)] == expected["ids"]
    pieces, next_pieces = batch["input_texts"][0], batch["target_texts"][0]
    assert [["".join(pieces[: i + 1]), next_pieces[i]] for i in range(4)] == expected["text"]


def test_the_books_batch_of_eight(client, golden, verdict):
    """ch02.loader.b8s4"""
    expected = golden("ch02.loader.b8s4")["expected"]
    answer = cut(client, text=verdict, **BOOK, max_length=4, stride=4, batch_size=8, limit=1)
    assert answer["data"][0]["inputs"] == expected["x"]
    assert answer["data"][0]["targets"] == expected["y"]
    assert (answer["windows"], answer["batches"]) == (expected["windows"], expected["batches_drop_last"])
    assert (answer["tokenizer"], answer["tokens"], answer["seed"]) == ("gpt2", 5145, None)
    assert answer["has_more"]


@pytest.mark.parametrize(
    ("fact", "sizes"),
    [
        ("ch02.loader.b4ml2s2", {"max_length": 2, "stride": 2}),
        ("ch02.loader.b4ml8s2", {"max_length": 8, "stride": 2}),
    ],
)
def test_exercise_2_2(client, golden, verdict, fact, sizes):
    answer = cut(client, text=verdict, **BOOK, **sizes, batch_size=4, limit=1)
    assert answer["data"][0]["inputs"] == golden(fact)["expected"]


def test_the_book_counts_the_same_windows(client, golden, verdict):
    """ch02.loader.window_count"""
    for sizes, count in golden("ch02.loader.window_count")["expected"].items():
        max_length, stride = map(int, sizes.split("/"))
        fields = {"max_length": max_length, "stride": stride, "batch_size": 1, "limit": 1}
        assert cut(client, text=verdict, **BOOK, **fields)["windows"] == count


def test_numbers_as_tokens(client, golden):
    """ch02.loader.numbers: without a tokenizer any numbers are ids, and have no text."""
    expected = golden("ch02.loader.numbers")["expected"]
    numbers = {"ids": list(range(1001)), "shuffle": False, "max_length": 4}
    first = cut(client, **numbers, stride=1, batch_size=1, limit=1)
    batch = first["data"][0]
    assert [batch["inputs"][0], batch["targets"][0]] == expected["b1s1"]["first"]
    assert (batch["input_texts"], batch["target_texts"], first["tokenizer"]) == (None, None, None)
    last = cut(client, **numbers, stride=1, batch_size=1, after=first["batches"] - 2)
    assert [last["data"][0]["inputs"][0], last["data"][0]["targets"][0]] == expected["b1s1"]["last"]
    assert (len(last["data"]), last["has_more"]) == (1, False)
    pairs = cut(client, **numbers, stride=4, batch_size=2, after=123)
    assert pairs["data"][-1]["inputs"] == expected["b2s4_last_x"]


def test_shuffled_as_the_books_loader(client, golden):
    """ch02.loader.numbers.shuffle: torch's CPU generator and DataLoader's sampler, after manual_seed."""
    fact = golden("ch02.loader.numbers.shuffle")
    asked = {"ids": list(range(1001)), "max_length": 4, "stride": 4, "batch_size": 2, "seed": fact["inputs"]["seed"]}
    before = torch.get_rng_state()
    answer = cut(client, **asked, after=123)
    assert torch.equal(torch.get_rng_state(), before)
    assert answer["data"][-1]["inputs"] == fact["expected"]["x"]
    assert answer["seed"] == 123


@pytest.mark.parametrize("drop_last", [True, False])
def test_all_batches_are_those_of_torchs_loader(client, drop_last):
    torch.manual_seed(5)
    loader = DataLoader(range(25), batch_size=4, shuffle=True, drop_last=drop_last)
    answer = cut(
        client, ids=list(range(26)), max_length=1, stride=1, batch_size=4, seed=5, drop_last=drop_last, limit=50
    )
    assert [batch["windows"] for batch in answer["data"]] == [batch.tolist() for batch in loader]
    assert answer["batches"] == len(loader)
    assert not answer["has_more"]


def test_pages_follow_each_other(client):
    fields = {"ids": list(range(300)), "max_length": 4, "stride": 3, "batch_size": 5, "seed": 9, "drop_last": False}
    whole = cut(client, **fields, limit=100)
    pages, after = [], {}
    while True:
        page = cut(client, **fields, **after, limit=7)
        pages += page["data"]
        after = {"after": page["data"][-1]["index"]}
        if not page["has_more"]:
            break
    assert pages == whole["data"]
    assert len(pages) == whole["batches"] == 20
    assert cut(client, **fields, after=10**12)["data"] == []


def test_a_seed_that_was_drawn_gives_the_same_again(client):
    fields = {"ids": list(range(100)), "max_length": 4, "stride": 1, "batch_size": 2}
    first = cut(client, **fields)
    assert cut(client, **fields, seed=first["seed"]) == first
    assert first["data"][0]["windows"] != [0, 1]


def test_what_is_left_out_is_as_in_the_book(client, verdict):
    """create_dataloader_v1(txt, batch_size=4, max_length=256, stride=128, shuffle=True, drop_last=True)"""
    answer = cut(client, text=verdict)
    assert (answer["windows"], answer["batches"], len(answer["data"])) == (39, 9, 9)
    assert all(len(batch["inputs"]) == 4 and len(batch["inputs"][0]) == 256 for batch in answer["data"])


def test_fewer_windows_than_a_batch(client):
    """As DataLoader: no batch with drop_last, one small one without."""
    fields = {"ids": [1, 2, 3], "max_length": 1, "stride": 1, "batch_size": 3, "shuffle": False}
    answer = cut(client, **fields)
    assert (answer["windows"], answer["batches"], answer["data"], answer["has_more"]) == (2, 0, [], False)
    assert cut(client, **fields, drop_last=False)["data"][0]["inputs"] == [[1], [2]]


def test_a_word_tokenizer_and_special_tokens(client):
    fields = {"max_length": 2, "stride": 1, "batch_size": 1, "shuffle": False, "limit": 3}
    words = cut(client, text="the tide the tide", tokenizer="strict", **fields)
    assert [batch["input_texts"] for batch in words["data"]] == [[["the", "tide"]], [["tide", "the"]]]
    parsed = cut(client, text="a<|endoftext|>b", specials="parse", **fields)
    assert parsed["data"][0]["inputs"] == [[64, 50256]]
    assert cut(client, text="a<|endoftext|>b", **fields)["tokens"] > 3


def test_a_dataset_is_cut_without_sending_it(client, monkeypatch):
    fields = {"tokenizer": "gpt2", "max_length": 8, "stride": 8, "shuffle": False}
    text = client.get("/datasets/the-tide-clock/preview", params={"characters": 100_000}).json()["text"]
    answer = cut(client, dataset="the-tide-clock", **fields)
    story = client.app.state.runtime.storage.dataset("the-tide-clock").read_text()
    assert answer == cut(client, text=story, **fields)
    assert text[:100] == story[:100]
    monkeypatch.setattr(windows, "MAX_DATASET_BYTES", 10)
    assert refusal(client, dataset="the-tide-clock", **fields) == (413, "too_large", "dataset")


def test_a_dataset_without_its_file_or_with_unknown_words(client):
    gone = client.post("/datasets", files={"file": ("a.txt", b"the tide " * 9)}).json()["id"]
    client.app.state.runtime.storage.dataset(gone).unlink()
    assert refusal(client, dataset=gone) == (424, "data_missing", "dataset")
    other = client.post("/datasets", files={"file": ("a.txt", b"an unheardofword " * 9)}).json()["id"]
    assert refusal(client, dataset=other, tokenizer="strict", max_length=2) == (422, "unknown_word", "dataset")
    assert list(client.app.state.runtime.storage.tokens(other).iterdir()) == []


def test_a_megabyte_at_every_token_is_answered_in_a_page(client):
    """Half a million windows of a thousand tokens: the page alone is made."""
    text = "a b c d e f g h " * 65_536
    started = time.monotonic()
    answer = cut(client, text=text, max_length=1024, stride=1, batch_size=8, seed=1)
    assert time.monotonic() - started < 15
    assert (answer["tokens"], answer["windows"]) == (524_289, 523_265)
    assert len(answer["data"]) == 8
    assert all(len(row) == 1024 for batch in answer["data"] for row in batch["inputs"])


def test_more_windows_than_an_order_in_memory_holds(client, monkeypatch):
    monkeypatch.setattr(order, "LARGE", 10)
    fields = {"ids": list(range(101)), "max_length": 1, "stride": 1, "batch_size": 10, "seed": 1}
    answer = cut(client, **fields)
    assert sorted(each for batch in answer["data"] for each in batch["windows"]) == list(range(100))


REFUSED = [
    ({"text": "a b c", "tokenizer": ""}, 404, "tokenizer_not_found", "tokenizer"),
    ({"ids": [1, 2, 3], "tokenizer": ""}, 404, "tokenizer_not_found", "tokenizer"),
    ({}, 422, "invalid_value", "text"),
    ({"text": "a", "ids": [1]}, 422, "invalid_value", "ids"),
    ({"text": ""}, 422, "invalid_value", "text"),
    ({"text": "a", "max_length": 4}, 422, "invalid_value", "text"),
    ({"text": "a\ud800"}, 422, "invalid_value", "text"),
    ({"text": 5}, 422, "invalid_value", "text"),
    ({"ids": []}, 422, "invalid_value", "ids"),
    ({"ids": [[1]]}, 422, "invalid_value", "ids"),
    ({"ids": [True, 2]}, 422, "invalid_value", "ids"),
    ({"ids": [1, -1]}, 422, "token_out_of_range", "ids.1"),
    ({"ids": [1, 2**31]}, 422, "token_out_of_range", "ids.1"),
    ({"ids": [10**4000]}, 422, "token_out_of_range", "ids.0"),
    ({"ids": [50257], "tokenizer": "gpt2"}, 422, "token_out_of_range", "ids.0"),
    ({"ids": [1] * (1024 * 1024 + 1)}, 413, "too_large", "ids"),
    ({"text": "a" * (1024 * 1024 + 1)}, 413, "too_large", "text"),
    ({"dataset": "nope"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": "../x"}, 404, "dataset_not_found", "dataset"),
    ({"dataset": "the-tide-clock", "specials": "parse"}, 422, "invalid_value", "specials"),
    ({"text": "a b", "tokenizer": "nope"}, 404, "tokenizer_not_found", "tokenizer"),
    ({"text": "a b", "tokenizer": "cl100k_base"}, 424, "data_missing", "tokenizer"),
    ({"text": "zzz", "tokenizer": "strict"}, 422, "unknown_word", "text"),
    ({"text": "a b", "max_length": 0}, 422, "invalid_value", "max_length"),
    ({"text": "a b", "stride": 0}, 422, "invalid_value", "stride"),
    ({"text": "a b", "stride": 2**31}, 422, "invalid_value", "stride"),
    ({"text": "a b", "batch_size": 0}, 422, "invalid_value", "batch_size"),
    ({"text": "a b", "batch_size": 257}, 422, "invalid_value", "batch_size"),
    ({"text": "a b", "batch_size": 1.5}, 422, "invalid_value", "batch_size"),
    ({"text": "a b", "limit": 0}, 422, "invalid_value", "limit"),
    ({"text": "a b", "limit": 1000}, 422, "invalid_value", "limit"),
    ({"text": "a b", "after": -1}, 422, "invalid_value", "after"),
    ({"text": "a b", "seed": 1, "shuffle": False}, 422, "invalid_value", "seed"),
    ({"text": "a b", "seed": 2**63}, 422, "invalid_value", "seed"),
    ({"text": "a b", "shuffle": "yes"}, 422, "invalid_value", "shuffle"),
    ({"text": "a b", "num_workers": 0}, 422, "unknown_field", "num_workers"),
]


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"), REFUSED, ids=[json.dumps(case[0])[:40] for case in REFUSED]
)
def test_what_cannot_be_cut_is_refused(client, fields, status, code, param):
    assert refusal(client, **fields) == (status, code, param)
