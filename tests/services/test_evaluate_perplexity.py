"""Perplexity of models on datasets: the numbers that plain passes give, of rows and of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from app.llm.checkpoint import ModelMeta, save_model
from app.llm.config import ModelConfig
from app.llm.model.transformer import Transformer
from app.services import evaluation_checks
from tests.evaluated import SHAPE, House, house_on, settings_in
from tests.jobs_made import a_model


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


def test_rows_are_scored_each_by_itself(house: House) -> None:
    texts = ["The clock is on the wall.", "Mira came to the tide clock.", "The"]
    network = house.add_model("three", 3)
    wanted = 0.0
    for text in texts:
        ids = torch.tensor(house.tokenizer.encode(text))
        if len(ids) > 1:
            logits = network(ids[None, :-1])[0].double().log_softmax(-1)
            wanted -= logits.gather(1, ids[1:, None]).sum().item()
    dataset = house.add_rows([{"text": text} for text in texts])
    job_id = house.done({"kind": "perplexity"}, model="three", dataset=dataset)
    (told,) = house.report(job_id)
    tokens = sum(len(house.tokenizer.encode(text)) - 1 for text in texts)
    assert (told["rows"], told["tokens"], told["failed"]) == (3, tokens, 0)
    assert told["nats_per_token"] == pytest.approx(wanted / tokens, rel=1e-6)
    assert told["perplexity"] == pytest.approx(math.exp(wanted / tokens), rel=1e-6)
    assert told["bits_per_byte"] == pytest.approx(wanted / math.log(2) / told["bytes"], rel=1e-6)
    assert [row["models"][0]["figures"]["tokens"] for row in house.results(job_id)] == [6, 6, 0]


def test_an_adapter_is_measured_beside_its_base(house: House) -> None:
    """Which was refused with a 500: the context of an adapter is its base's."""
    base = house.add_model("four", 4)
    networks = [base, house.add_adapter("four:tuned", base)]
    ids = torch.tensor(house.tokenizer.encode("The clock is on the wall."))
    logits = [network(ids[None, :-1])[0].double().log_softmax(-1) for network in networks]
    wanted = [-each.gather(1, ids[1:, None]).mean().item() for each in logits]
    dataset = house.add_rows([{"text": "The clock is on the wall."}])
    job_id = house.done({"kind": "perplexity", "against": ["four:tuned"]}, model="four", dataset=dataset)
    assert [told["nats_per_token"] for told in house.report(job_id)] == pytest.approx(wanted, rel=1e-5)
    assert wanted[0] != pytest.approx(wanted[1], rel=1e-4)


def test_windows_of_a_text_with_several_models(house: House) -> None:
    asked = {"kind": "perplexity", "against": ["two"], "window": 16, "max_rows": 6}
    whole = house.report(house.done(asked))
    closer = house.report(house.done(asked | {"stride": 4}))
    for told in (*whole, *closer):
        assert told["rows"] == 6
        # what models without any learning know: about as much as chance
        assert told["nats_per_token"] == pytest.approx(math.log(house.tokenizer.vocab_size), rel=0.1)
    assert [told["tokens"] for told in whole] == [6 * 16] * 2
    assert [told["tokens"] for told in closer] == [16 + 5 * 4] * 2


def test_logits_that_are_no_numbers_are_told_of_their_row(house: House) -> None:
    house.add_model("broken", 5, is_spoilt=True)
    dataset = house.add_rows([{"text": "The clock is on the wall."}])
    (told,) = house.report(house.done({"kind": "perplexity"}, model="broken", dataset=dataset))
    assert (told["failed"], told["perplexity"]) == (1, None)


def test_a_text_of_one_token_fails_with_words(house: House) -> None:
    dataset = house.add_rows([{"text": "The"}])
    house.queued({"kind": "perplexity"}, dataset=dataset)
    row = house.run()
    assert row.status == "failed"
    assert row.error == {"code": "invalid_value", "param": "dataset", "message": row.error["message"]}


@pytest.fixture
def strict(house: House) -> str:
    """A model whose tokenizer knows the story's words and has nothing for others."""
    new = {"name": "strict", "kind": "word", "version": 1, "dataset": "the-tide-clock"}
    if house.client.post("/tokenizers", json=new).status_code == 201:
        with house.runtime.database.read() as session:
            words = house.runtime.tokenizers.get(session, "strict")
        config = ModelConfig(vocab_size=words.vocab_size, **SHAPE)
        save_model(house.runtime.storage.model("strict"), Transformer(config), ModelMeta(config, "strict"))
        with house.runtime.database.write() as session:
            session.add(a_model("strict", config=config.to_dict(), tokenizer="strict"))
    return "strict"


KNOWN, UNKNOWN = "The clock is on the wall.", "The hovercraft is on the wall."


@pytest.mark.parametrize("is_text", [False, True])
def test_a_word_that_a_model_does_not_know_is_told_before_the_run(house: House, strict: str, is_text: bool) -> None:
    """It ended the evaluation once the first model had read everything."""
    if is_text:
        file = ("a.txt", f"{KNOWN}\n\n{UNKNOWN}\n")
        dataset = house.client.post("/datasets", files={"file": file}).json()["id"]
    else:
        dataset = house.add_rows([{"text": KNOWN}, {"text": KNOWN}, {"text": UNKNOWN}])
    answer = house.ask({"kind": "perplexity", "against": [strict]}, dataset=dataset)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (422, "unknown_word", "dataset")
    assert "line 3: " in error["message"]
    assert "hovercraft" in error["message"]


def test_of_a_large_dataset_it_is_told_before_the_first_result(
    house: House, strict: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_checks, "FROM_BYTES", 0)
    monkeypatch.setattr(evaluation_checks, "LOOKED_AT_BYTES", 10)
    dataset = house.add_rows([{"text": KNOWN}, {"text": KNOWN}, {"text": UNKNOWN}])
    job_id = house.queued({"kind": "perplexity", "against": [strict]}, dataset=dataset)
    row = house.run()
    assert (row.status, row.error["code"]) == ("failed", "unknown_word")
    assert "line 3: " in row.error["message"]
    assert house.results(job_id) == []
