"""`inkling classify` against a running server, and a classifier that `inkling train classify` asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch

from app.config import Settings
from app.db.migrate import migrate
from app.db.tables.model import ModelRow
from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import PRESETS, ClassifierConfig, ModelConfig
from app.llm.model.classifier import Classifier
from app.llm.model.transformer import Transformer
from app.services import datasets
from app.services.runtime import Runtime
from app.services.tokenizer_making import make_word, register
from tests.cli.conftest import Command, Done
from tests.serving import app_of, served

TEXT = "the sea was high and the clock was slow"


@pytest.fixture
def url(settings: Settings) -> Iterator[str]:
    """Of a server with a classifier `tides`."""
    runtime = Runtime.open(settings)
    migrate(runtime.database)
    with runtime.database.write() as session:
        datasets.register_builtin(session, runtime.storage)
    with runtime.database.write() as session:
        words = make_word(runtime.storage, datasets.read(session, "the-tide-clock"), 2)
        register(session, runtime.storage, "words", words, "the-tide-clock")
        vocab_size = runtime.tokenizers.get(session, "words").vocab_size
        body = ModelConfig(**PRESETS["gpt-tiny"], vocab_size=vocab_size)
        shape = ClassifierConfig(body, ("calm", "storm"), "last_token", 6, 0, 0.5)
        torch.manual_seed(0)
        save_model(runtime.storage.model("tides"), Classifier(Transformer(body), 2), ModelMeta(shape, "words"))
        row = {"config": shape.to_dict(), "tokenizer": "words", "sha256": "0", "parameters": 1, "size_bytes": 1}
        session.add(ModelRow(name="tides", family="classifier", **row))
    with served(app_of(runtime)) as port:
        yield f"http://127.0.0.1:{port}"
    runtime.close()


def printed(done: Done) -> list[str]:
    """Lines of the command; the server, in this process, writes its log there, too."""
    assert done.status == 0, done.err
    return [line for line in done.out.splitlines() if line.strip() and "[debug" not in line and "[info" not in line]


def test_each_text_gets_its_class(inkling: Command, url: str) -> None:
    lines = printed(inkling("classify", "tides", "the sea", TEXT, "--url", url))
    assert lines[0].split() == ["class", "probability", "text"]
    assert [line.split()[0] in ("calm", "storm") for line in lines[1:]] == [True, True]
    assert lines[2].endswith("(the first 6 tokens were read)")
    told = json.loads(printed(inkling("classify", "tides", "the sea", "--json", "--url", url))[-1])
    assert told["data"][0]["label"] == lines[1].split()[0]
    told = json.loads(printed(inkling("classify", "tides", "the sea", "--threshold", "0", "--json", "--url", url))[-1])
    assert told["data"][0]["label"] == "storm"


def test_tokens_are_explained_on_request(inkling: Command, url: str) -> None:
    lines = printed(inkling("classify", "tides", "the sea", "--explain", "--url", url))
    assert lines[2].split() == ["token", "share"]
    assert [line.split()[0] for line in lines[3:]] == ["'the'", "'sea'"]


def test_the_request_is_printed_and_refusals_are_one_line(inkling: Command, url: str) -> None:
    done = inkling("classify", "tides", "it's", "--print-curl", "--url", "http://here")
    assert done.out.startswith("curl -X POST http://here/classify -H 'content-type: application/json' -d ")
    assert "(model_not_found)" in inkling("classify", "none", "the sea", "--url", url).refusal
