"""Vectors over the wire: the book's fresh layers, a model's tables, neighbours, a plane, and what is refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from app.config import Settings
from app.db.tables.model import ModelRow
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import PRESETS, ClassifierConfig, ModelConfig, Word2VecConfig
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.llm.tokenizer.word import words
from app.main import create_app
from app.schemas.embeddings import AnalogyOut, EmbeddingsOut
from app.services import datasets, vector_tables
from tests.no_assets import no_assets

PLACES = {"gpt": ("gpt-tiny", "gpt2"), "llama": ("llama-tiny", "llama")}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service without assets; with a network of each family and word vectors over the shipped story's words."""
    folder = tmp_path_factory.mktemp("embeddings")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=no_assets(folder / "no-assets"),
        database_url="", broker_url="", default_model="gpt", default_tokenizer="tides",
    )  # fmt: skip
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        vocab_size = made.post("/tokenizers", json=new).json()["vocab_size"]
        torch.manual_seed(0)
        for name, (preset, _) in PLACES.items():
            config = ModelConfig(**PRESETS[preset], vocab_size=vocab_size)
            register(made, name, Transformer(config), config)
        vectors = Word2VecConfig(vocab_size, emb_dim=6)
        network = WordVectors(vectors)
        torch.nn.init.normal_(network.token_embedding.weight)
        register(made, "words", network, vectors)
        yield made


def register(client: TestClient, name: str, network, config) -> None:
    runtime = client.app.state.runtime
    save_model(runtime.storage.model(name), network, ModelMeta(config, "tides"))
    with runtime.database.write() as session:
        shape = {"config": config.to_dict(), "tokenizer": "tides", "sha256": "0"}
        session.add(ModelRow(name=name, family=config.family, parameters=1, size_bytes=1, **shape))


def table_of(client: TestClient, name: str, table: str = "token_embedding") -> np.ndarray:
    from app.llm.checkpoint import load_model

    network, _ = load_model(client.app.state.runtime.storage.model(name))
    return getattr(network, table).weight.detach().numpy()


def ask(client: TestClient, **fields: object) -> dict:
    response = client.post("/embeddings", json=fields)
    assert response.status_code == 200, response.text
    answer = response.json()
    EmbeddingsOut.model_validate(answer)
    assert list(np.shape(answer["vectors"])) == answer["shape"]
    return answer


def refusal(client: TestClient, **fields: object) -> tuple[int, str, str | None]:
    content = json.dumps(fields)
    response = client.post("/embeddings", content=content, headers={"content-type": "application/json"})
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return response.status_code, error["code"], error["param"]


def float32(rows: object) -> np.ndarray:
    return np.array(rows, dtype=np.float32)


def test_the_books_layer_of_six(client, golden):
    """ch02.emb.6x3, on torch's CPU generator: all rows where none is named."""
    fact = golden("ch02.emb.6x3")
    answer = ask(client, vocab_size=6, output_dim=3, seed=fact["inputs"]["seed"])
    assert np.allclose(answer["vectors"], fact["expected"], atol=fact["tolerance"])
    assert (answer["ids"], answer["shape"]) == ([0, 1, 2, 3, 4, 5], [6, 3])
    assert (answer["model"], answer["seed"], answer["texts"]) == (None, 123, None)


@pytest.mark.parametrize("fact_id", ["ch02.emb.lookup3", "ch02.emb.lookup"])
def test_the_books_lookups(client, golden, fact_id):
    """ch02.emb.lookup3 and ch02.emb.lookup: rows of that layer."""
    fact = golden(fact_id)
    answer = ask(client, vocab_size=6, output_dim=3, seed=123, ids=fact["inputs"]["ids"])
    assert np.allclose(answer["vectors"], fact["expected"], atol=fact["tolerance"])


def test_the_books_layer_of_four_by_five(client, golden):
    """ch02.emb.4x5, on torch's CPU generator."""
    fact = golden("ch02.emb.4x5")
    answer = ask(client, vocab_size=4, output_dim=5, seed=fact["inputs"]["seed"])
    assert np.allclose(answer["vectors"], fact["expected"], atol=fact["tolerance"])


def test_a_fresh_layer_is_torchs_to_the_bit_and_draws_nothing_of_the_servers(client):
    """Token and position tables as chapter 2 makes them, one after the other after manual_seed."""
    before = torch.get_rng_state()
    answer = ask(client, vocab_size=503, output_dim=7, context_length=9, seed=5, ids=[3, 3, 502], positions=True)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(5)
    token = torch.nn.Embedding(503, 7).weight.detach().numpy()[[3, 3, 502]]
    position = torch.nn.Embedding(9, 7).weight.detach().numpy()[:3]
    assert np.array_equal(float32(answer["vectors"]), token)
    assert np.array_equal(float32(answer["positions"]["vectors"]), position)
    assert np.array_equal(float32(answer["sums"]["vectors"]), token + position)
    assert answer["sums"]["shape"] == [3, 7]


def test_a_layer_for_a_tokenizer(client):
    answer = ask(client, output_dim=4, text="the tide", seed=1)
    assert answer["texts"] == ["the", "tide"]
    named = ask(client, output_dim=4, tokenizer="tides", ids=answer["ids"], seed=1)
    assert named == answer
    drawn = ask(client, output_dim=4, text="the tide")
    assert ask(client, output_dim=4, text="the tide", seed=drawn["seed"]) == drawn
    assert drawn["vectors"] != answer["vectors"]


def test_rows_of_a_models_tables(client):
    answer = ask(client, model="gpt", text="the tide the", positions=True)
    token, position = table_of(client, "gpt"), table_of(client, "gpt", "position_embedding")
    assert answer["texts"] == ["the", "tide", "the"]
    assert np.array_equal(float32(answer["vectors"]), token[answer["ids"]])
    assert np.array_equal(float32(answer["positions"]["vectors"]), position[:3])
    assert np.array_equal(float32(answer["sums"]["vectors"]), token[answer["ids"]] + position[:3])
    assert (answer["model"], answer["seed"], answer["neighbours"], answer["projection"]) == ("gpt", None, None, None)
    assert ask(client, ids=answer["ids"])["vectors"] == answer["vectors"]  # the default model


def test_rotary_positions_have_no_table(client):
    assert ask(client, model="llama", ids=[1, 2])["positions"] is None
    assert refusal(client, model="llama", ids=[1, 2], positions=True) == (422, "wrong_model", "positions")


@pytest.mark.parametrize("model", ["gpt", "words"])
def test_neighbours_are_the_nearest_by_cosine(client, model):
    answer = ask(client, model=model, text="tide clock tide", neighbours=4)
    table = table_of(client, model)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    assert len(answer["neighbours"]) == 3
    for token_id, near in zip(answer["ids"], answer["neighbours"], strict=True):
        cosines = unit @ unit[token_id]
        cosines[token_id] = -2
        assert [each["id"] for each in near] == np.argsort(-cosines)[:4].tolist()
        assert [each["score"] for each in near] == pytest.approx(np.sort(-cosines)[:4] * -1, abs=1e-5)
        assert client.post("/encode", json={"text": near[0]["text"], "tokenizer": "tides", "specials": "parse"}).json()[
            "ids"
        ] == [near[0]["id"]]


def test_a_set_is_laid_into_a_plane(client):
    ids = [5, 6, 7, 5, 9, 20]
    answer = ask(client, model="words", ids=ids, project=True)
    rows = table_of(client, "words")[[5, 6, 7, 9, 20]].astype(float)
    centred = rows - rows.mean(0)
    sizes = np.linalg.svd(centred, compute_uv=False) ** 2
    projection = answer["projection"]
    assert projection["explained"] == pytest.approx((sizes / sizes.sum())[:2].tolist())
    assert projection["points"][0] == projection["points"][3]
    points = np.array(projection["points"])[[0, 1, 2, 4, 5]]
    assert (points**2).sum(0) == pytest.approx(sizes[:2])
    assert ask(client, model="words", ids=ids, project=True) == answer


def test_a_space_has_a_third_axis(client):
    """The same two first axes as the plane, and the points without the vectors they are made of."""
    ids = [5, 6, 7, 9, 20]
    plane = ask(client, model="words", ids=ids, project=True, axes=2)
    answer = client.post(
        "/embeddings", json={"model": "words", "ids": ids, "project": True, "axes": 3, "vectors": False}
    )
    space = answer.json()
    EmbeddingsOut.model_validate(space)
    assert (space["vectors"], space["shape"]) == (None, [5, 6])
    assert [point[:2] for point in space["projection"]["points"]] == plane["projection"]["points"]
    assert space["projection"]["explained"][:2] == plane["projection"]["explained"]
    assert space["projection"]["explained"][2] > 0


def test_the_most_frequent_tokens_of_a_dataset(client):
    answer = ask(client, model="words", frequent={"dataset": "the-tide-clock", "count": 12}, neighbours=1)
    read = list(words((datasets.SAMPLES / "the-tide-clock.txt").read_text()))
    expected = Counter(read)
    assert len(answer["ids"]) == len(answer["neighbours"]) == 12
    assert answer["counts"] == sorted(expected.values(), reverse=True)[:12]
    assert [expected[text] for text in answer["texts"]] == answer["counts"]
    told = {"dataset": "the-tide-clock", "column": None, "tokens": len(read), "sampled": False}
    assert answer["counted"] == told
    of_rows = ask(client, model="words", frequent={"dataset": "ferry-messages", "count": 3})
    assert of_rows["counted"]["column"] == "text"
    layer = ask(client, output_dim=2, seed=1, frequent={"dataset": "the-tide-clock", "count": 3})
    assert layer["ids"] == answer["ids"][:3]


def test_rows_of_the_table_of_positions(client):
    answer = ask(client, model="gpt", table="positions", ids=[0, 2, 5], neighbours=2, project=True)
    table = table_of(client, "gpt", "position_embedding")
    assert np.array_equal(float32(answer["vectors"]), table[[0, 2, 5]])
    assert answer["texts"] is None
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    cosines = unit @ unit[2]
    cosines[2] = -2
    assert [each["id"] for each in answer["neighbours"][1]] == np.argsort(-cosines)[:2].tolist()
    assert answer["neighbours"][1][0]["text"] is None
    everything = ask(client, model="gpt", table="positions")
    assert everything["shape"] == list(table.shape)
    assert everything["positions"] is None


def test_the_tables_of_a_classifier(client):
    """Its body's: classifiers were refused, though they have vectors as any other."""
    config = ModelConfig(**PRESETS["gpt-tiny"], vocab_size=len(table_of(client, "gpt")))
    shape = ClassifierConfig(config, ("ham", "spam"), "last_token", max_tokens=8, pad_id=0)
    network = Classifier(Transformer(config), 2)
    register(client, "filter", network, shape)
    answer = ask(client, model="filter", ids=[4, 5], positions=True)
    assert np.array_equal(float32(answer["vectors"]), network.body.token_embedding.weight.detach().numpy()[[4, 5]])
    assert answer["positions"]["shape"] == [2, config.emb_dim]


def solved(client: TestClient, **fields: object) -> dict:
    response = client.post("/embeddings/analogy", json=fields)
    assert response.status_code == 200, response.text
    return AnalogyOut.model_validate(response.json()).model_dump()


@pytest.mark.parametrize("model", ["gpt", "words"])
def test_an_analogy_is_a_sum_of_directions(client, model):
    """As gensim's `most_similar(positive, negative)`: of unit vectors, and without the words that were given."""
    answer = solved(client, model=model, plus=["tide", "keeper"], minus=["clock"], neighbours=5)
    assert [(term["text"], term["sign"], term["texts"]) for term in answer["terms"]] == [
        ("tide", 1, ["tide"]), ("keeper", 1, ["keeper"]), ("clock", -1, ["clock"]),
    ]  # fmt: skip
    table = table_of(client, model)
    unit = table / np.linalg.norm(table, axis=1, keepdims=True)
    tide, keeper, clock = (term["ids"][0] for term in answer["terms"])
    wanted = unit[tide] + unit[keeper] - unit[clock]
    cosines = unit @ (wanted / np.linalg.norm(wanted))
    cosines[[tide, keeper, clock]] = -2
    assert [each["id"] for each in answer["neighbours"]] == np.argsort(-cosines)[:5].tolist()
    assert [each["score"] for each in answer["neighbours"]] == pytest.approx(-np.sort(-cosines)[:5], abs=1e-5)


def test_a_term_of_several_tokens_is_their_mean(client):
    answer = solved(client, model="words", plus=["the tide"], neighbours=3)
    table = table_of(client, "words")
    mean = table[answer["terms"][0]["ids"]].mean(0)
    cosines = (table @ mean) / np.linalg.norm(table, axis=1) / np.linalg.norm(mean)
    cosines[answer["terms"][0]["ids"]] = -2
    assert [each["id"] for each in answer["neighbours"]] == np.argsort(-cosines)[:3].tolist()


UNSOLVED = [
    ({"plus": []}, 422, "invalid_value", "plus"),
    ({}, 422, "missing_field", "plus"),
    ({"plus": [""]}, 422, "invalid_value", "plus.0"),
    ({"plus": ["  "]}, 422, "invalid_value", "plus.0"),
    ({"plus": ["the"] * 17}, 422, "invalid_value", "plus"),
    ({"plus": ["a" * 201]}, 422, "invalid_value", "plus.0"),
    ({"plus": ["the"], "minus": ["tide", "zeppelin"]}, 422, "unknown_word", "minus.1"),
    ({"plus": ["<|unk|>"]}, 422, "unknown_word", "plus.0"),
    ({"plus": ["the"], "neighbours": 0}, 422, "invalid_value", "neighbours"),
    ({"plus": ["the"], "model": "nope"}, 404, "model_not_found", "model"),
    ({"plus": ["the"], "sum": 1}, 422, "unknown_field", "sum"),
]


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"), UNSOLVED, ids=[json.dumps(case[0])[:50] for case in UNSOLVED]
)
def test_what_adds_up_to_nothing_is_refused(client, fields, status, code, param):
    response = client.post("/embeddings/analogy", json=fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)


def test_word_vectors_do_not_write(client):
    """A model of word vectors is listed, read by this route, and refused wherever one that writes is wanted."""
    listed = {model["name"]: model for model in client.get("/models").json()["data"]}
    assert listed["words"]["family"] == "word2vec"
    assert listed["words"]["config"] == {"vocab_size": len(table_of(client, "words")), "emb_dim": 6}
    assert listed["gpt"]["config"]["n_heads"] == 4
    assert client.get("/models/words").json() == listed["words"]
    assert client.get("/models/words/download").status_code == 200
    answer = client.post("/generate", json={"model": "words", "prompt": "the"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "wrong_model")
    job = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": "words"}
    answer = client.post("/jobs", json=job)
    assert (answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["param"]) == (
        422, "wrong_model", "model",
    )  # fmt: skip
    assert refusal(client, model="words", ids=[1], positions=True) == (422, "wrong_model", "positions")


def test_damaged_or_missing_vectors_are_told(client):
    config = Word2VecConfig(7, emb_dim=2)
    register(client, "few", WordVectors(config), config)
    assert refusal(client, model="few", ids=[1]) == (424, "data_missing", "model")  # not of its tokenizer's size
    weights = client.app.state.runtime.storage.model("few") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    assert refusal(client, model="few", ids=[1]) == (424, "data_missing", "model")
    (client.app.state.runtime.storage.model("few") / "model.json").unlink()
    assert refusal(client, model="few", ids=[1]) == (424, "data_missing", "model")


def test_what_is_no_number_is_null(client):
    config = Word2VecConfig(len(table_of(client, "words")), emb_dim=2)
    network = WordVectors(config)
    with torch.no_grad():
        network.token_embedding.weight[0] = torch.tensor([float("nan"), float("-inf")])
    register(client, "odd", network, config)
    answer = ask(client, model="odd", ids=[0, 1], neighbours=2, project=True)
    assert answer["vectors"][0] == [None, None]
    assert np.isfinite(answer["projection"]["points"]).all()


REFUSED = [
    ({"model": "nope", "ids": [1]}, 404, "model_not_found", "model"),
    ({"model": "", "ids": [1]}, 404, "model_not_found", "model"),
    ({"vocab_size": 6, "output_dim": 3, "tokenizer": "", "ids": [1]}, 404, "tokenizer_not_found", "tokenizer"),
    ({"model": "job_1@5", "ids": [1]}, 404, "checkpoint_not_found", "model"),
    ({"model": "smollm2-135m-instruct", "ids": [1]}, 424, "data_missing", "model"),
    ({"model": "gpt", "ids": [10**6]}, 422, "token_out_of_range", "ids.0"),
    ({"model": "gpt", "ids": [1, -1]}, 422, "token_out_of_range", "ids.1"),
    ({"model": "gpt", "ids": [10**4000]}, 422, "token_out_of_range", "ids.0"),
    ({"model": "gpt", "ids": []}, 422, "invalid_value", "ids"),
    ({"model": "gpt", "ids": ["1"]}, 422, "invalid_value", "ids"),
    ({"model": "gpt", "ids": [1], "text": "the"}, 422, "invalid_value", "text"),
    ({"model": "gpt", "text": ""}, 422, "invalid_value", "text"),
    ({"model": "gpt", "text": "a\ud800"}, 422, "invalid_value", "text"),
    ({"model": "gpt", "text": "a" * 1024 * 1025}, 413, "too_large", "text"),
    ({"model": "gpt", "text": "the " * 20_000}, 413, "too_large", "text"),
    ({"model": "gpt", "text": "the " * 65, "positions": True}, 422, "context_length_exceeded", "text"),
    ({"model": "gpt", "output_dim": 3}, 422, "invalid_value", "output_dim"),
    ({"model": "gpt", "ids": [1], "seed": 3}, 422, "invalid_value", "seed"),
    ({"model": "gpt", "ids": [1], "tokenizer": "tides"}, 422, "invalid_value", "tokenizer"),
    ({"model": "gpt", "neighbours": 101, "ids": [1]}, 422, "invalid_value", "neighbours"),
    ({"model": "gpt", "neighbours": 0, "ids": [1]}, 422, "invalid_value", "neighbours"),
    ({"model": "gpt", "neighbours": 1, "ids": list(range(257))}, 413, "too_large", "neighbours"),
    ({"model": "gpt", "project": True, "ids": [1, 1]}, 422, "invalid_value", "project"),
    ({"model": "gpt", "project": "pca", "ids": [1, 2]}, 422, "invalid_value", "project"),
    ({"model": "gpt", "ids": [1], "layer": 3}, 422, "unknown_field", "layer"),
    ({"model": "gpt", "ids": [1, 2], "axes": 3}, 422, "invalid_value", "axes"),
    ({"model": "gpt", "ids": [1, 2], "project": True, "axes": 4}, 422, "invalid_value", "axes"),
    ({"model": "gpt", "ids": [1], "frequent": {"dataset": "the-tide-clock"}}, 422, "invalid_value", "frequent"),
    ({"model": "gpt", "frequent": {"dataset": "nope"}}, 404, "dataset_not_found", "frequent.dataset"),
    ({"model": "gpt", "frequent": {"dataset": "the-tide-clock", "count": 0}}, 422, "invalid_value", "frequent.count"),
    (
        {"model": "gpt", "frequent": {"dataset": "the-tide-clock", "column": "a"}},
        422,
        "invalid_value",
        "frequent.column",
    ),
    ({"model": "gpt", "frequent": {"dataset": "better-answers"}}, 422, "invalid_value", "frequent.dataset"),
    ({"model": "gpt", "frequent": "the-tide-clock"}, 422, "invalid_value", "frequent"),
    ({"model": "gpt", "table": "positions", "text": "the"}, 422, "invalid_value", "text"),
    ({"model": "gpt", "table": "positions", "positions": True}, 422, "invalid_value", "positions"),
    ({"model": "gpt", "table": "positions", "ids": [64]}, 422, "token_out_of_range", "ids.0"),
    ({"model": "llama", "table": "positions"}, 422, "wrong_model", "table"),
    ({"model": "words", "table": "positions"}, 422, "wrong_model", "table"),
    ({"model": "gpt", "ids": [1], "positions": True, "vectors": False}, 422, "invalid_value", "positions"),
    ({"output_dim": 3, "vocab_size": 6, "table": "positions"}, 422, "invalid_value", "table"),
    ({"seed": 3}, 422, "invalid_value", "output_dim"),
    ({"vocab_size": 6}, 422, "invalid_value", "output_dim"),
    ({"output_dim": 3}, 422, "invalid_value", "vocab_size"),
    ({"output_dim": 3, "vocab_size": 0}, 422, "invalid_value", "vocab_size"),
    ({"output_dim": 3, "vocab_size": 6, "ids": [6]}, 422, "token_out_of_range", "ids.0"),
    ({"output_dim": 3, "vocab_size": 6, "text": "the"}, 422, "invalid_value", "vocab_size"),
    ({"output_dim": 3, "tokenizer": "nope"}, 404, "tokenizer_not_found", "tokenizer"),
    ({"output_dim": 3, "vocab_size": 6, "positions": True}, 422, "invalid_value", "positions"),
    ({"output_dim": 65_536, "vocab_size": 2**20, "ids": [1]}, 413, "too_large", "output_dim"),
    ({"output_dim": 2, "vocab_size": 2**20}, 413, "too_large", "ids"),
    ({"output_dim": 3, "vocab_size": 6, "seed": -1}, 422, "invalid_value", "seed"),
    ({"output_dim": 3, "vocab_size": 6, "seed": 2**63}, 422, "invalid_value", "seed"),
]


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"), REFUSED, ids=[json.dumps(case[0])[:60] for case in REFUSED]
)
def test_what_cannot_be_looked_up_is_refused(client, fields, status, code, param):
    assert refusal(client, **fields) == (status, code, param)


def test_too_much_is_refused_before_it_is_drawn(client, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("drawn")

    monkeypatch.setattr(torch, "empty", never)
    assert refusal(client, output_dim=65_536, vocab_size=2**20, ids=[1]) == (413, "too_large", "output_dim")
    assert vector_tables.MAX_DRAWN * 4 == 256 * 1024 * 1024
