import json
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables.tokenizer import TokenizerRow
from app.llm.tokenizer.word import WordTokenizer
from app.main import create_app
from app.schemas.tokenizer import TokenOut
from app.services.tokenizer_making import Made, register
from tests.jobs_made import a_dataset

BOOK = "Hello, do you like tea? <|endoftext|> In the sunlit terracesof someunknownPlace."
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def client(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service with tiktoken's files and without the default model; with a word tokenizer of each version."""
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "assets").mkdir()
    os.symlink(assets / "tiktoken", folder / "assets" / "tiktoken")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=folder / "assets", database_url="", broker_url=""
    )
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        runtime = made.app.state.runtime
        with runtime.database.write() as session:
            for version in (1, 2):
                tokenizer = WordTokenizer.build("do you like tea , ? the", 1 if version == 1 else 2)
                dataset = a_dataset(session, f"ds_{version}")
                register(session, runtime.storage, f"words-{version}", Made.of(tokenizer, 1), dataset.id)
        yield made


def post(client: TestClient, path: str, body: object) -> tuple[int, object]:
    response = client.post(path, content=json.dumps(body), headers={"content-type": "application/json"})
    return response.status_code, response.json()


def error_of(client: TestClient, path: str, body: object) -> tuple[int, str, str | None]:
    status, answer = post(client, path, body)
    assert set(answer) == {"error"}
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    assert answer["error"]["message"]
    return status, answer["error"]["code"], answer["error"]["param"]


def test_tokens_of_a_text(client):
    status, answer = post(client, "/tokenize", {"text": "Hi 👍", "tokenizer": "gpt2"})
    assert status == 200
    assert answer == {
        "tokenizer": "gpt2",
        "count": 3,
        "tokens": [
            {"id": 17250, "text": "Hi", "bytes": [72, 105], "start": 0, "end": 2, "special": False},
            {"id": 50169, "text": " \ufffd", "bytes": [32, 240, 159, 145], "start": 2, "end": 4, "special": False},
            {"id": 235, "text": "\ufffd", "bytes": [141], "start": 3, "end": 4, "special": False},
        ],
    }


def test_gpt2_is_the_default(client):
    assert post(client, "/encode", {"text": "Hi"}) == (200, {"tokenizer": "gpt2", "count": 1, "ids": [17250]})


def test_the_books_sentence_with_and_without_its_special_token(client):
    _, parsed = post(client, "/encode", {"text": BOOK, "specials": "parse"})
    assert parsed["ids"] == [
        *(15496, 11, 466, 345, 588, 8887, 30, 220, 50256, 554, 262, 4252, 18250),
        *(8812, 2114, 1659, 617, 34680, 27271, 13),
    ]
    _, plain = post(client, "/encode", {"text": BOOK})
    assert 50256 not in plain["ids"]
    _, back = post(client, "/decode", {"ids": parsed["ids"]})
    assert back == {"text": BOOK}


def test_special_tokens_are_marked(client):
    _, answer = post(client, "/tokenize", {"text": "a<|endoftext|>", "specials": "parse"})
    assert [token["special"] for token in answer["tokens"]] == [False, True]


def test_several_tokenizers_side_by_side(client):
    names = ["gpt2", "r50k_base", "p50k_base", "words-2"]
    status, answer = post(client, "/tokenize", {"text": "do  you", "tokenizer": names})
    assert status == 200
    assert [each["tokenizer"] for each in answer] == names
    assert [each["count"] for each in answer] == [3, 3, 3, 2]
    assert [token["start"] for token in answer[3]["tokens"]] == [0, 4]
    status, answer = post(client, "/tokenize", {"text": "do", "tokenizer": ["gpt2"]})
    assert (status, len(answer)) == (200, 1)


@pytest.mark.parametrize("tokenizer", ["gpt2", "words-1", "words-2"])
def test_no_text_gives_no_tokens(client, tokenizer):
    body = {"text": "", "tokenizer": tokenizer}
    assert post(client, "/tokenize", body) == (200, {"tokenizer": tokenizer, "count": 0, "tokens": []})
    assert post(client, "/encode", body) == (200, {"tokenizer": tokenizer, "count": 0, "ids": []})
    assert post(client, "/decode", {"ids": [], "tokenizer": tokenizer}) == (200, {"text": ""})


def test_batches(client):
    _, answer = post(client, "/encode", {"text": ["Hello", "", " tea"]})
    assert answer == {"tokenizer": "gpt2", "count": 2, "ids": [[15496], [], [8887]]}
    assert post(client, "/decode", {"ids": answer["ids"]}) == (200, {"text": ["Hello", "", " tea"]})
    assert post(client, "/encode", {"text": []}) == (200, {"tokenizer": "gpt2", "count": 0, "ids": []})


def test_ids_that_end_inside_a_character(client):
    assert post(client, "/decode", {"ids": [50169]}) == (200, {"text": " \ufffd"})


def test_words_known_and_unknown(client):
    text = "Hello, do you like tea?"
    assert error_of(client, "/tokenize", {"text": text, "tokenizer": "words-1"}) == (422, "unknown_word", "text")
    body = {"text": ["tea", text], "tokenizer": "words-1"}
    assert error_of(client, "/encode", body) == (422, "unknown_word", "text.1")
    _, answer = post(client, "/tokenize", {"text": text, "tokenizer": "words-2"})
    first = answer["tokens"][0]
    assert (first["text"], first["bytes"], first["special"]) == ("Hello", list(b"Hello"), True)
    _, decoded = post(client, "/decode", {"ids": [t["id"] for t in answer["tokens"]], "tokenizer": "words-2"})
    assert decoded == {"text": "<|unk|>, do you like tea?"}


@pytest.mark.parametrize("path", ["/tokenize", "/encode", "/decode"])
@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"tokenizer": "nowhere"}, (404, "tokenizer_not_found", "tokenizer")),
        ({"tokenizer": "../../etc/passwd"}, (404, "tokenizer_not_found", "tokenizer")),
        ({"tokenizer": "nul\0"}, (404, "tokenizer_not_found", "tokenizer")),
        ({"tokenizer": "\ud800"}, (404, "tokenizer_not_found", "tokenizer")),
        ({"tokenizer": "cl100k_base"}, (424, "data_missing", "tokenizer")),
        ({"tokenizer": "o200k_base"}, (424, "data_missing", "tokenizer")),
        ({"tokenizer": "smollm2"}, (424, "data_missing", "tokenizer")),
        ({"tokenizer": 5}, (422, "invalid_value", "tokenizer")),
        ({"tokenizer": {}}, (422, "invalid_value", "tokenizer")),
        ({"added": 1}, (422, "unknown_field", "added")),
    ],
)
def test_what_all_three_refuse(client, path, change, refusal):
    body = {"ids": [1]} if path == "/decode" else {"text": "a"}
    assert error_of(client, path, body | change) == refusal


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("/tokenize", {}, (422, "missing_field", "text")),
        ("/tokenize", {"text": None}, (422, "invalid_value", "text")),
        ("/tokenize", {"text": 1}, (422, "invalid_value", "text")),
        ("/tokenize", {"text": "a\ud800b"}, (422, "invalid_value", "text")),
        ("/tokenize", {"text": "a", "specials": True}, (422, "invalid_value", "specials")),
        ("/tokenize", {"text": "a", "tokenizer": ["gpt2", "nowhere"]}, (404, "tokenizer_not_found", "tokenizer.1")),
        ("/tokenize", {"text": "a", "tokenizer": ["gpt2", "smollm2"]}, (424, "data_missing", "tokenizer.1")),
        ("/encode", {"text": ["a", "\udfff"]}, (422, "invalid_value", "text")),
        ("/encode", {"text": {"a": 1}}, (422, "invalid_value", "text")),
        ("/decode", {"ids": [50257]}, (422, "token_out_of_range", "ids.0")),
        ("/decode", {"ids": [0, -1]}, (422, "token_out_of_range", "ids.1")),
        ("/decode", {"ids": [[0], [2**63]]}, (422, "token_out_of_range", "ids.1.0")),
        ("/decode", {"ids": [10**4000]}, (422, "token_out_of_range", "ids.0")),
        ("/decode", {"ids": [True]}, (422, "invalid_value", "ids")),
        ("/decode", {"ids": [1.0]}, (422, "invalid_value", "ids")),
        ("/decode", {"ids": ["1"]}, (422, "invalid_value", "ids")),
        ("/decode", {"ids": 1}, (422, "invalid_value", "ids")),
        ("/decode", [1], (422, "invalid_value", None)),
    ],
)
def test_what_one_of_them_refuses(client, path, body, refusal):
    assert error_of(client, path, body) == refusal


@pytest.mark.parametrize("body", ["", "{", "null", '{"text": NaN}', '{"ids": [' + "1" * 5000 + "]}", b"\xff\xfe"])
@pytest.mark.parametrize("path", ["/tokenize", "/encode", "/decode"])
def test_what_is_no_json_or_no_object(client, path, body):
    response = client.post(path, content=body, headers={"content-type": "application/json"})
    assert response.status_code in (400, 422)
    assert set(response.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize("path", ["/tokenize", "/encode"])
@pytest.mark.parametrize("text", ["a" * (MIB + 1), "é" * (MIB // 2 + 1), "a" * 10_000_000])
def test_a_text_beyond_the_limit(client, path, text):
    assert error_of(client, path, {"text": text})[:2] == (413, "too_large")


def test_texts_beyond_the_limit_together(client):
    assert error_of(client, "/encode", {"text": ["a" * (MIB // 2)] * 3}) == (413, "too_large", "text")


def test_ids_that_make_a_text_beyond_the_limit(client):
    spaces = post(client, "/encode", {"text": "-" * 64})[1]["ids"]
    assert len(spaces) == 1
    assert error_of(client, "/decode", {"ids": spaces * (MIB // 64 + 1)}) == (413, "too_large", "ids")
    assert post(client, "/decode", {"ids": spaces * (MIB // 64)})[0] == 200


@pytest.mark.parametrize("tokenizer", ["gpt2", "words-2"])
def test_a_megabyte_without_a_space(client, tokenizer):
    text = "a" * MIB
    response = client.post("/tokenize", json={"text": text, "tokenizer": tokenizer})
    answer = response.json()
    assert answer["count"] == len(answer["tokens"]) == (262_144 if tokenizer == "gpt2" else 1)
    assert (answer["tokens"][0]["start"], answer["tokens"][-1]["end"]) == (0, MIB)
    TokenOut.model_validate(answer["tokens"][-1])


def test_small_requests_pass_beside_megabytes_without_a_space(client):
    done = threading.Event()

    def long() -> int:
        status = 200
        while not done.is_set() and status == 200:
            status = client.post("/tokenize", json={"text": "a" * MIB}).status_code
        return status

    with ThreadPoolExecutor(4) as pool:
        statuses = [pool.submit(long) for _ in range(4)]
        times = []
        for _ in range(30):
            start = time.perf_counter()
            assert post(client, "/tokenize", {"text": "Every sentence"})[0] == 200
            times.append(time.perf_counter() - start)
        done.set()
        assert [status.result() for status in statuses] == [200] * 4
    assert max(times) < 2  # one of the long ones takes more than a second by itself, and there are four at a time


def test_a_long_text_refused_by_one_of_its_tokenizers_is_refused_before_the_answer_begins(client):
    text = "tea " * 50_000 + "coffee"
    refusal = error_of(client, "/tokenize", {"text": text, "tokenizer": ["gpt2", "words-1"]})
    assert refusal == (422, "unknown_word", "text")


def test_a_long_text_and_back(client):
    text = "Zażółć 👩‍🚀 \n" * 10_000
    _, answer = post(client, "/encode", {"text": text})
    assert answer["count"] == len(answer["ids"])
    assert post(client, "/decode", {"ids": answer["ids"]}) == (200, {"text": text})


def test_the_rows_of_the_fixture_are_there(client):
    with client.app.state.runtime.database.read() as session:
        assert session.get(TokenizerRow, "words-1") is not None


def test_a_body_beyond_the_limit_without_a_length(client):
    def chunks() -> Iterator[bytes]:
        yield b'{"text": "'
        for _ in range(10):
            yield b"a" * 1_000_000
        yield b'"}'

    response = client.post("/tokenize", content=chunks(), headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["/tokenize", "/encode"])
def test_an_empty_name_is_not_the_default(client, path):
    assert error_of(client, path, {"text": "a", "tokenizer": ""}) == (404, "tokenizer_not_found", "tokenizer")


def test_small_requests_pass_beside_a_megabyte_of_spaces(client):
    """Runs of half the length at which tiktoken gives up: looking for longer ones took minutes, and all waited."""
    text = (" " * 400_000 + "a") * 2
    with ThreadPoolExecutor(1) as pool:
        long = pool.submit(client.post, "/encode", json={"text": text})
        start = time.perf_counter()
        assert post(client, "/tokenize", {"text": "Every sentence"})[0] == 200
        assert time.perf_counter() - start < 5
        assert long.result(60).status_code == 200
