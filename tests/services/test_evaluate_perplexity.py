"""Perplexity of models on datasets: the numbers that plain passes give, of rows and of a text."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
import torch

from tests.evaluated import House, house_on, settings_in


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
