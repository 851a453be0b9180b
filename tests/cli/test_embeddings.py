"""`inkling embeddings` against a running server with word vectors: rows, neighbours, a plane, sums."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from app.config import Settings
from app.db.migrate import migrate
from app.db.tables.model import ModelRow
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import Word2VecConfig
from app.llm.model.word_vectors import WordVectors
from app.services import datasets
from app.services.runtime import Runtime
from app.services.tokenizer_making import make_word, register
from tests.cli.conftest import Command
from tests.serving import app_of, served


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """Of a server with word vectors `near`, of which keeper + tide - clock points to lamp."""
    runtime = Runtime.open(settings)
    migrate(runtime.database)
    with runtime.database.write() as session:
        datasets.register_builtin(session, runtime.storage)
    with runtime.database.write() as session:
        made = make_word(runtime.storage, datasets.read(session, "the-tide-clock"), 2)
        register(session, runtime.storage, "words", made, "the-tide-clock")
        tokenizer = runtime.tokenizers.get(session, "words")
        config = Word2VecConfig(tokenizer.vocab_size, emb_dim=64)
        network = WordVectors(config)
        torch.manual_seed(0)
        torch.nn.init.normal_(network.token_embedding.weight, std=0.1)
        keeper, tide, clock, lamp = tokenizer.encode("keeper tide clock lamp")
        with torch.no_grad():
            network.token_embedding.weight[[keeper, tide, clock]] = torch.eye(64)[:3]
            network.token_embedding.weight[lamp] = 2 * (torch.eye(64)[0] + torch.eye(64)[1] - torch.eye(64)[2])
        save_model(runtime.storage.model("near"), network, ModelMeta(config, "words"))
        row = {"config": config.to_dict(), "tokenizer": "words", "sha256": "0", "parameters": 1, "size_bytes": 1}
        session.add(ModelRow(name="near", family="word2vec", **row))
    with served(app_of(runtime)) as port:
        yield f"http://127.0.0.1:{port}"
    runtime.close()


def test_tokens_of_a_text_with_their_neighbours_and_places(inkling: Command, url: str) -> None:
    done = inkling("embeddings", "keeper lamp", "--model", "near", "--neighbours", "1", "--axes", "2", "--url", url)
    lines = [line for line in done.out.splitlines() if "'keeper'" in line or "'lamp'" in line]
    assert len(lines) == 2
    assert lines[0].split()[1] == "'keeper'"
    assert "'lamp' 0.58" in lines[0]  # 1 / √3
    assert "explain 100%, 0%" in done.out


def test_the_sum_of_terms(inkling: Command, url: str) -> None:
    terms = ["--plus", "keeper", "--plus", "tide", "--minus", "clock"]
    done = inkling("embeddings", *terms, "--model", "near", "--neighbours", "3", "--url", url)
    told = done.out[done.out.index("keeper + tide − clock is near") :].splitlines()
    assert told[2].split()[1:] == ["'lamp'", "1.000"]


def test_frequent_tokens_and_the_servers_own_answer(inkling: Command, url: str) -> None:
    asked = ["--frequent", "the-tide-clock", "--count", "4", "--model", "near", "--url", url]
    assert "times" in inkling("embeddings", *asked).out
    done = inkling("embeddings", *asked, "--json")
    answer = json.loads(next(line for line in done.out.splitlines() if line.startswith("{")))
    assert len(answer["ids"]) == len(answer["vectors"]) == 4


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "one of them"),
        (["the", "--plus", "tide"], "not a text and --plus"),
        (["the", "--minus", "tide"], "--minus"),
        (["--plus", "the", "--axes", "2"], "--axes"),
        (["--positions", "--model", "near"], "no table of positions"),
        (["--plus", "zeppelin", "--model", "near"], "zeppelin"),
    ],
)
def test_what_is_refused(inkling: Command, url: str, words: list[str], told: str) -> None:
    assert told in inkling("embeddings", *words, "--url", url).refusal
