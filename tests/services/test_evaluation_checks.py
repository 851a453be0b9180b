"""What is wrong with an evaluation is told before a row is written, and names the field."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.evaluated import TASKS, House, house_on, settings_in

ANSWERS = {"kind": "answers"}
HERE = {"model": "two"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    private = {"judge_private_addresses": False}
    with house_on(settings_in(tmp_path_factory.mktemp("house")), **private) as made:
        made.add_classifier("filter", ("ham", "spam"))
        yield made


@pytest.fixture(scope="module")
def tasks(house: House) -> str:
    return house.add_rows(TASKS)


def refused(house: House, evaluate: dict[str, Any] | None, **fields: Any) -> tuple[int, str, str | None]:
    jobs = len(house.client.get("/jobs").json()["data"])
    answer = house.ask(evaluate, **fields)  # type: ignore[arg-type]
    assert answer.is_error, answer.text
    assert len(house.client.get("/jobs").json()["data"]) == jobs
    error = answer.json()["error"]
    return answer.status_code, error["code"], error["param"]


@pytest.mark.parametrize(
    ("evaluate", "fields", "code", "param"),
    [
        (None, {}, "missing_field", "evaluate"),
        ({"kind": "guesses"}, {}, "invalid_value", "evaluate.kind"),
        (ANSWERS | {"max_rows": 0}, {}, "invalid_value", "evaluate.max_rows"),
        (ANSWERS, {"model": "nobody"}, "model_not_found", "model"),
        (ANSWERS | {"against": ["nobody"]}, {}, "model_not_found", "evaluate.against.0"),
        (ANSWERS | {"against": ["two", "two"]}, {}, "invalid_value", "evaluate.against.1"),
        (ANSWERS, {"model": "filter"}, "wrong_model", "model"),
        (ANSWERS, {"model": {"preset": "gpt-tiny"}}, "invalid_value", "model"),
        ({"kind": "accuracy"}, {"model": "one"}, "wrong_model", "model"),
        (ANSWERS, {"dataset": "nothing"}, "dataset_not_found", "dataset"),
        (ANSWERS, {"dataset": "the-tide-clock"}, "invalid_value", "dataset"),
        (ANSWERS, {"dataset": [{"dataset": "the-tide-clock"}]}, "invalid_value", "dataset"),
        (ANSWERS, {"columns": {"instruction": "task"}}, "invalid_value", "columns.instruction"),
        (ANSWERS, {"columns": {"label": "output"}}, "unknown_field", "columns.label"),
        (ANSWERS, {"train": {"max_steps": 3}}, "unknown_field", "train.max_steps"),
        (ANSWERS, {"name": "mine"}, "unknown_field", "name"),
        (ANSWERS, {"validation": 0.1}, "unknown_field", "validation"),
        (ANSWERS, {"devices": 2}, "unknown_field", "devices"),
        (ANSWERS | {"window": 8}, {}, "unknown_field", "evaluate.window"),
        (ANSWERS | {"judge": HERE}, {}, "unknown_field", "evaluate.judge"),
        ({"kind": "judge"}, {}, "missing_field", "evaluate.judge"),
        ({"kind": "judge", "judge": {"model": "nobody"}}, {}, "model_not_found", "evaluate.judge.model"),
        ({"kind": "judge", "judge": HERE | {"api_key": "k"}}, {}, "unknown_field", "evaluate.judge.api_key"),
        ({"kind": "judge", "judge": HERE, "pairwise": True}, {}, "invalid_value", "evaluate.against"),
        ({"kind": "judge", "judge": HERE | {"url": "http://10.0.0.1"}}, {}, "invalid_value", "evaluate.judge.url"),
        ({"kind": "judge", "judge": HERE | {"url": "nowhere"}}, {}, "invalid_value", "evaluate.judge.url"),
        ({"kind": "judge", "judge": HERE | {"url": "https://8.8.8.8/v1?a"}}, {}, "invalid_value", "evaluate.judge.url"),
        ({"kind": "perplexity", "window": 65}, {"dataset": "the-tide-clock"}, "invalid_value", "evaluate.window"),
        ({"kind": "perplexity", "stride": 65}, {"dataset": "the-tide-clock"}, "invalid_value", "evaluate.stride"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)  # fmt: skip
def test_it_is_refused_by_the_field(
    house: House, tasks: str, evaluate: dict[str, Any] | None, fields: dict[str, Any], code: str, param: str
) -> None:
    assert refused(house, evaluate, **{"dataset": tasks} | fields)[1:] == (code, param)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"instruction": "Say it.", "output": ""}, "output: it is empty"),
        ({"instruction": "Say it."}, "output: it is missing"),
        ({"instruction": 5, "output": "x"}, "instruction: it must be text, not int"),
    ],
    ids=["empty-reference", "no-reference", "number"],
)
def test_a_row_that_cannot_be_used_is_told_with_its_line(house: House, row: dict[str, Any], told: str) -> None:
    dataset = house.add_rows([*TASKS, row])
    error = house.ask(ANSWERS, dataset=dataset).json()["error"]
    assert error["param"] == "dataset"
    assert f"line 4: {told}" in error["message"]


def test_conversations_need_models_that_take_them(house: House) -> None:
    messages = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Mira."}]
    dataset = house.add_rows([{"messages": messages}])
    assert refused(house, ANSWERS, dataset=dataset)[1:] == ("no_chat_template", "model")
    plain = ANSWERS | {"prompt_style": "plain"}
    assert refused(house, plain, dataset=dataset)[1:] == ("invalid_value", "evaluate.prompt_style")


def test_other_recipes_measure_nothing(house: House) -> None:
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "evaluate": ANSWERS}
    error = house.client.post("/jobs", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("unknown_field", "evaluate")


def test_an_evaluation_is_not_estimated(house: House, tasks: str) -> None:
    body = {"recipe": "evaluate", "model": "one", "dataset": tasks, "evaluate": ANSWERS}
    error = house.client.post("/jobs/estimate", json=body).json()["error"]
    assert (error["code"], error["param"]) == ("invalid_value", "recipe")


def test_another_like_it_has_the_same_judge(house: House, tasks: str) -> None:
    evaluate = {"kind": "judge", "judge": HERE, "against": ["two"], "pairwise": True}
    job_id = house.queued(evaluate, dataset=tasks, seed=5)
    again = house.client.post(f"/jobs/{job_id}/duplicate", json={"seed": 6})
    assert again.status_code == 202, again.text
    first = house.client.get(f"/jobs/{job_id}").json()
    assert again.json()["evaluate"] == first["evaluate"]
    assert (again.json()["seed"], again.json()["columns"]) == (6, first["columns"])


def test_results_are_those_of_evaluations(house: House) -> None:
    job = house.client.post(
        "/jobs", json={"recipe": "pretrain", "dataset": "the-tide-clock", "train": {"context_length": 8}}
    ).json()
    for path in ("results", "results.csv"):
        assert house.client.get(f"/jobs/{job['id']}/{path}").status_code == 409
        assert house.client.get(f"/jobs/nope/{path}").status_code == 404
