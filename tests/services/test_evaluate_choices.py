"""Models choose among answers: what they find likeliest is what the network says, and each row is kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from app.llm.model.transformer import Transformer
from app.services import extras
from tests.evaluated import House, house_on, settings_in

CHOICES = {"kind": "choices"}
ROWS: list[dict[str, Any]] = [
    {"question": "The clock is on", "choices": ["the wall.", "the tide.", "the boat."], "answer": 0},
    {"question": "Mira came and", "choices": ["the boat turns.", "the tide turns."], "answer": "B"},
    {"question": "The tide", "choices": ["turns.", "is on the wall of the boat."], "answer": "turns."},
    {"question": "Mira is here and", "choices": ["Mira", "the tide", "the wall", "the clock"], "answer": 2},
]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


def needs_lm_eval() -> None:
    pytest.importorskip("lm_eval")


def plainly(house: House, network: Transformer, prompt: str, choice: str) -> float:
    """The log probability of a choice by one plain pass."""
    before, whole = (house.tokenizer.encode(text) for text in (prompt, f"{prompt} {choice}"))
    with torch.inference_mode():
        logits = network(torch.tensor([whole]))[0].double().log_softmax(-1)
    return sum(float(logits[place - 1, whole[place]]) for place in range(len(before), len(whole)))


def test_each_model_chooses_what_it_finds_likeliest(house: House) -> None:
    needs_lm_eval()
    network = house.add_model("three", 3)
    job_id = house.done(CHOICES | {"against": ["two"]}, model="three", dataset=house.add_rows(ROWS))
    results = house.results(job_id)
    right, right_norm = [], []
    for row, asked in zip(results, ROWS, strict=True):
        mine = row["models"][0]
        found = [each["log_probability"] for each in mine["figures"]["choices"]]
        wanted = [plainly(house, network, asked["question"], choice) for choice in asked["choices"]]
        assert found == pytest.approx(wanted, rel=1e-5)
        assert [each["text"] for each in mine["figures"]["choices"]] == asked["choices"]
        assert mine["prompt"] == asked["question"]
        best = asked["choices"][found.index(max(found))]
        by_length = [value / len(text) for value, text in zip(found, asked["choices"], strict=True)]
        assert (mine["answer"], mine["error"]) == (best, None)
        right.append(float(best == row["reference"]))
        right_norm.append(float(asked["choices"][by_length.index(max(by_length))] == row["reference"]))
        assert (mine["figures"]["acc"], mine["figures"]["acc_norm"]) == (right[-1], right_norm[-1])
    assert [row["reference"] for row in results] == ["the wall.", "the tide turns.", "turns.", "the wall"]
    mine, other = house.report(job_id)
    assert (mine["model"], other["model"], mine["rows"], mine["failed"], mine["cut"]) == ("three", "two", 4, 0, 0)
    assert (mine["acc"], mine["acc_norm"]) == (sum(right) / 4, sum(right_norm) / 4)
    assert mine["chance"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2 + 1 / 4) / 4)
    assert mine["acc_stderr"] == pytest.approx((mine["acc"] * (1 - mine["acc"]) / 3) ** 0.5)


def test_it_is_told_in_the_table_too(house: House) -> None:
    needs_lm_eval()
    job_id = house.done(CHOICES, dataset=house.add_rows(ROWS))
    table = list(csv.DictReader(io.StringIO(house.client.get(f"/jobs/{job_id}/results.csv").text)))
    assert [json.loads(row["choices"])[0]["text"] for row in table] == [row["choices"][0] for row in ROWS]
    assert {row["acc"] for row in table} <= {"0.0", "1.0"}


def test_examples_before_a_question_are_the_same_after_a_pause(house: House) -> None:
    needs_lm_eval()
    dataset = house.add_rows(ROWS * 5)
    asked = CHOICES | {"num_fewshot": 2, "form": "question"}
    whole = house.results(house.done(asked, dataset=dataset, seed=4))
    job_id = house.queued(asked, dataset=dataset, seed=4)
    left = iter(range(28))
    assert house.run(lambda: None if next(left, None) is not None else "paused").status == "queued"
    assert 0 < len(house.results(job_id)) < 20
    assert house.run().status == "succeeded"
    assert house.results(job_id) == whole
    assert all(row["models"][0]["prompt"].count("Answer:") == 3 for row in whole)


def test_one_that_is_cancelled_keeps_what_it_found(house: House) -> None:
    needs_lm_eval()
    job_id = house.queued(CHOICES, dataset=house.add_rows(ROWS * 5))
    left = iter(range(28))
    assert house.run(lambda: None if next(left, None) is not None else "cancelled").status == "cancelled"
    assert 0 < len(house.results(job_id)) < 20


def test_what_cannot_be_scored_is_a_result_of_its_own(house: House) -> None:
    needs_lm_eval()
    long = {"question": "The tide", "choices": ["turns. " * 70, "turns."], "answer": 1}
    cut = {"question": "The tide turns. " * 40, "choices": ["turns.", "Mira"], "answer": 1}
    house.add_model("spoilt", 5, is_spoilt=True)
    job_id = house.done(CHOICES | {"against": ["spoilt"]}, dataset=house.add_rows([long, cut]))
    errors = [[model["error"] for model in row["models"]] for row in house.results(job_id)]
    assert "longer than the context of 64" in errors[0][0]
    assert errors[1] == [None, "the model's logits are no numbers here"]
    mine, spoilt = house.report(job_id)
    assert (mine["rows"], mine["failed"], mine["cut"], mine["acc_stderr"]) == (2, 1, 1, None)
    assert (spoilt["failed"], spoilt["acc"], spoilt["chance"]) == (2, None, None)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"question": "Who?", "choices": ["a", "b"], "answer": "c"}, "answer: 'c' is neither the text nor the letter"),
        ({"question": "Who?", "choices": "a, b", "answer": "a"}, "choices must be a list of texts, not str"),
        ({"choices": ["a", "b"], "answer": "a"}, "question is empty"),
    ],
)
def test_a_row_that_cannot_be_used_is_told_with_its_line(house: House, row: dict[str, Any], told: str) -> None:
    needs_lm_eval()
    error = house.ask(CHOICES, dataset=house.add_rows([*ROWS, row])).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "dataset")
    assert f"line 5: {told}" in error["message"]


@pytest.mark.parametrize(
    ("evaluate", "fields", "code", "param"),
    [
        ({"num_fewshot": 4}, {}, "invalid_value", "evaluate.num_fewshot"),
        ({"num_fewshot": 2, "max_rows": 2}, {}, "invalid_value", "evaluate.num_fewshot"),
        ({"num_fewshot": 65}, {}, "invalid_value", "evaluate.num_fewshot"),
        ({"form": "poem"}, {}, "invalid_value", "evaluate.form"),
        ({"prompt_style": "plain"}, {}, "unknown_field", "evaluate.prompt_style"),
        ({}, {"columns": {"text": "question"}}, "unknown_field", "columns.text"),
        ({}, {"columns": {"question": "nothing"}}, "invalid_value", "columns.question"),
        ({}, {"dataset": "small-tasks"}, "invalid_value", "columns"),
        ({}, {"dataset": "the-tide-clock"}, "invalid_value", "dataset"),
    ],
)
def test_it_is_refused_by_the_field(
    house: House, evaluate: dict[str, Any], fields: dict[str, Any], code: str, param: str
) -> None:
    needs_lm_eval()
    error = house.ask(CHOICES | evaluate, **{"dataset": house.add_rows(ROWS)} | fields).json()["error"]
    assert (error["code"], error["param"]) == (code, param)


def test_other_kinds_have_none_of_its_settings(house: House) -> None:
    error = house.ask({"kind": "perplexity", "form": "plain"}).json()["error"]
    assert (error["code"], error["param"]) == ("unknown_field", "evaluate.form")


def test_without_lm_eval_it_is_refused_with_how_to_have_it(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "lm_eval_version", lambda: None)
    answer = house.ask(CHOICES, dataset=house.add_rows(ROWS))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (424, "package_missing", "evaluate.kind")
    assert "'.[eval]'" in error["message"]


def test_a_worker_without_lm_eval_fails_it_with_words(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "lm_eval_version", lambda: "0.4.13")
    job_id = house.queued(CHOICES, dataset=house.add_rows(ROWS))
    monkeypatch.setattr(extras, "lm_eval_version", lambda: None)
    row = house.run()
    assert (row.id, row.status) == (job_id, "failed")
    assert row.error is not None
    assert row.error["code"] == "package_missing"
