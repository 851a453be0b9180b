"""The page of vectors, as the server sends it: the form as the address fills it, and lists where no script runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import torch
from fastapi.testclient import TestClient

from app.api.pages.embedding_form import DEFAULTS, analogy_of, filled, rows_of
from app.api.pages.render import STYLED_POLICY
from app.config import Settings
from app.db.tables.model import ModelRow
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import PRESETS, ModelConfig, Word2VecConfig
from app.llm.model.transformer import Transformer
from app.llm.model.word_vectors import WordVectors
from app.main import create_app
from tests.no_assets import no_assets

ROW = re.compile(r'<tr><th scope="row">(.*?)<span class="note"> (.*?)</span></th><td>(.*?)</td></tr>')


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """The service without assets, with word vectors over the shipped story's words and a GPT."""
    folder = tmp_path_factory.mktemp("vectors")
    settings = Settings(
        _env_file=None, data_dir=folder / "data", assets_dir=no_assets(folder / "no-assets"),
        database_url="", broker_url="", default_model="words", default_tokenizer="tides",
    )  # fmt: skip
    with TestClient(create_app(settings), raise_server_exceptions=False) as made:
        new = {"name": "tides", "kind": "word", "version": 2, "dataset": "the-tide-clock"}
        vocab_size = made.post("/tokenizers", json=new).json()["vocab_size"]
        torch.manual_seed(0)
        words, gpt = Word2VecConfig(vocab_size, emb_dim=6), ModelConfig(**PRESETS["gpt-tiny"], vocab_size=vocab_size)
        network = WordVectors(words)
        torch.nn.init.normal_(network.token_embedding.weight)
        runtime = made.app.state.runtime
        for name, config, model in (("words", words, network), ("gpt", gpt, Transformer(gpt))):
            save_model(runtime.storage.model(name), model, ModelMeta(config, "tides"))
            with runtime.database.write() as session:
                shape = {"config": config.to_dict(), "tokenizer": "tides", "sha256": "0"}
                known = {"datasets": [{"dataset": "the-tide-clock", "name": None, "sha256": None, "weight": 1.0}]}
                session.add(ModelRow(name=name, family=config.family, parameters=1, size_bytes=1, **shape, **known))
        yield made


def test_the_form_is_filled_from_the_address_and_nothing_is_computed(client: TestClient) -> None:
    answer = client.get("/ui/embeddings?show=frequent&count=12&model=gpt&text=%22%3Cb%3E")
    assert answer.status_code == 200
    assert answer.headers["content-security-policy"] == STYLED_POLICY
    assert '<a href="/ui/embeddings" aria-current="page">Embeddings</a>' in answer.text
    assert 'value="12" data-default="200"' in answer.text
    assert 'value="&#34;&lt;b&gt;" data-default="king queen' in answer.text
    about = 'data-tokenizer="tides" data-positions="64" data-dataset="the-tide-clock"'
    assert f'<option value="gpt" {about} selected>' in answer.text
    assert re.search(r'value="smollm2-135m-instruct"[^>]* disabled>', answer.text)
    assert not ROW.findall(answer.text)


def test_lists_are_those_of_the_route(client: TestClient) -> None:
    answer = client.get("/ui/embeddings?plain=1&text=the+tide&neighbours=3")
    rows = ROW.findall(answer.text)
    body = {"model": "words", "text": " the tide", "neighbours": 3}
    found = client.post("/embeddings", json=body).json()
    assert [(name, about) for name, about, _ in rows] == [
        (text, f"id {token_id}") for text, token_id in zip(found["texts"], found["ids"], strict=True)
    ]
    for (_, _, near), expected in zip(rows, found["neighbours"], strict=True):
        assert re.sub(r"<[^>]+>", "", near) == ", ".join(f"{one['text']} {one['score']:.2f}" for one in expected)


def test_frequent_tokens_positions_and_an_analogy_are_lists_too(client: TestClient) -> None:
    frequent = ROW.findall(client.get("/ui/embeddings?plain=1&show=frequent&count=5").text)
    assert len(frequent) == 5
    assert all(re.fullmatch(r"id \d+, [\d,]+ times", about) for _, about, _ in frequent)
    places = ROW.findall(client.get("/ui/embeddings?plain=1&show=positions&model=gpt").text)
    assert [name for name, _, _ in places] == [f"position {place}" for place in range(64)]
    solved = ROW.findall(client.get("/ui/embeddings?plain=1&show=analogy&a=clock&b=tide&c=keeper&neighbours=2").text)
    assert [name for name, _, _ in solved] == ["tide + keeper − clock"]
    by_id = ROW.findall(client.get("/ui/embeddings?plain=1&ids=3,4&text=ignored").text)
    assert [about for _, about, _ in by_id] == ["id 3", "id 4"]


@pytest.mark.parametrize(
    ("query", "status", "told"),
    [
        ("model=nope", 404, "no model &#39;nope&#39;"),
        ("model=smollm2-135m-instruct", 424, "smollm2"),
        ("show=positions", 422, "no table of positions"),
        ("show=analogy&a=zeppelin&b=tide&c=keeper", 422, "zeppelin"),
        ("show=frequent&dataset=nope", 404, "no dataset"),
        ("show=frequent&count=many", 422, "frequent.count"),
        ("neighbours=%F0%9D%9F%97", 422, "neighbours"),
        ("neighbours=" + "9" * 5000, 422, "neighbours"),
        ("ids=1,x", 422, "ids"),
        ("text=", 422, "no token"),
    ],
)
def test_what_cannot_be_looked_up_is_told_on_the_page(client: TestClient, query: str, status: int, told: str) -> None:
    answer = client.get(f"/ui/embeddings?plain=1&{query}")
    assert answer.status_code == status
    assert answer.headers["content-type"].startswith("text/html")
    [notice] = re.findall(r'id="embeddings-error" role="alert"><p>(.*?)</p>', answer.text, re.S)
    assert told in notice


def test_a_checkpoint_that_is_asked_for_can_be_chosen(client: TestClient) -> None:
    page = client.get("/ui/embeddings?model=job_1@5").text
    assert re.search(r'<option value="job_1@5"[^>]* selected>job_1@5 \(checkpoint\)', page)


def test_a_space_is_put_before_a_word_unless_it_is_bare() -> None:
    fields = filled(DEFAULTS | {"model": "m"}, {"text": "sea", "a": "\u3000x", "show": "nothing"})
    assert fields["show"] == "text"
    assert rows_of(fields, None).text == " sea"
    assert rows_of(fields | {"bare": "1"}, None).text == "sea"
    assert analogy_of(fields).minus == ["\u3000x"]
    assert analogy_of(fields).plus == [" king", " woman"]
