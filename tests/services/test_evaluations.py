"""What was measured of a model, over the service with tiny models: the list, its pages, and rows of a matrix's cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.db.tables import model as model_table
from tests.evaluated import House, house_on, settings_in

TEXTS = ["The clock is on the wall.", "Mira came.", "The tide turns.", "The boat is here.", "Mira and the tide."]
CLASSES = ("ham", "<b>spam</b>")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_on(settings_in(tmp_path_factory.mktemp("house"))) as made:
        yield made


@pytest.fixture(scope="module")
def told(house: House) -> str:
    """An evaluation of a classifier of two classes."""
    house.add_classifier("filter", CLASSES, 0.5)
    rows = [{"text": text, "label": CLASSES[place % 2]} for place, text in enumerate(TEXTS)]
    return house.done({"kind": "accuracy"}, model="filter", dataset=house.add_rows(rows))


def listed(house: House, name: str, **query: Any) -> dict[str, Any]:
    answer = house.client.get(f"/models/{name}/evaluations", params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_a_model_has_those_that_measured_it_newest_first(house: House) -> None:
    first = house.done({"kind": "perplexity", "max_rows": 2, "window": 8})
    both = house.done({"kind": "perplexity", "max_rows": 1, "window": 8, "against": ["two"]})
    house.queued({"kind": "perplexity", "max_rows": 3, "window": 8})  # has not ended
    found = listed(house, "one")
    assert [each["job"] for each in found["data"]] == [both, first]
    assert [each["job"] for each in listed(house, "two")["data"]] == [both]
    (entry, _) = house.report(both)
    assert found["data"][0]["figures"] == {name: value for name, value in entry.items() if name != "model"}
    assert (found["data"][0]["kind"], found["data"][0]["models"]) == ("perplexity", ["one", "two"])
    assert found["data"][0]["settings"]["window"] == 8
    page = listed(house, "one", limit=1)
    assert (len(page["data"]), page["has_more"]) == (1, True)
    last = listed(house, "one", limit=1, after=page["data"][0]["job"])
    assert ([each["job"] for each in last["data"]], last["has_more"]) == ([first], False)
    house.run()


def test_other_weights_of_the_same_name_were_not_measured(house: House) -> None:
    house.add_model("three", 3)
    house.done({"kind": "perplexity", "max_rows": 1, "window": 8}, model="three")
    assert len(listed(house, "three")["data"]) == 1
    with house.runtime.database.write() as session:
        row = model_table.get(session, "three")
        assert row is not None
        row.sha256 = "another"
    assert listed(house, "three")["data"] == []


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("/models/nothing/evaluations", 404, "name"),
        ("/models/job_x@1/evaluations", 404, "name"),
        ("/models/one/evaluations?after=job_nothing", 404, "after"),
        ("/models/one/evaluations?limit=0", 422, "limit"),
        ("/models/one/evaluations?page=2", 422, "page"),
    ],
)
def test_what_is_refused(house: House, path: str, status: int, param: str) -> None:
    answer = house.client.get(path)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def cell(house: House, job_id: str, **query: Any) -> list[int]:
    answer = house.client.get(f"/jobs/{job_id}/results", params=query)
    assert answer.status_code == 200, answer.text
    return [row["row"] for row in answer.json()["data"]]


def test_a_cell_of_the_matrix_holds_so_many_rows(house: House, told: str) -> None:
    (report,) = house.report(told)
    for place, reference in enumerate(CLASSES):
        for column, answer in enumerate(CLASSES):
            rows = cell(house, told, reference=reference, answer=answer)
            assert len(rows) == report["confusion"][place][column]
            assert all(row % 2 != place for row in rows)  # rows count from 1
    assert cell(house, told, reference=CLASSES[0], answer=CLASSES[0], limit=1, after=5) == []
    assert cell(house, told, reference="eggs") == []


@pytest.mark.parametrize("step", [0, 70, 96, 99, 100, 101, 104, 130, 200])
def test_another_threshold_moves_rows_as_the_report_counts_them(house: House, told: str, step: int) -> None:
    (report,) = house.report(told)
    assert [sum(row) for row in report["by_probability"]] == [3, 2]
    for place, reference in enumerate(CLASSES):
        counts = report["by_probability"][place]
        for answer, wanted in zip(CLASSES, (sum(counts[:step]), sum(counts[step:])), strict=True):
            rows = cell(house, told, reference=reference, answer=answer, threshold=step / 200)
            assert len(rows) == wanted, (reference, answer)


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"model": "one"}, "model"),
        ({"model": "a\0"}, "model"),
        ({"threshold": 0.5}, "threshold"),
        ({"threshold": 0.5, "answer": "eggs"}, "threshold"),
        ({"threshold": 1.5, "answer": "ham"}, "threshold"),
        ({"reference": "\0"}, "reference"),
    ],
)
def test_rows_that_cannot_be_chosen_so(house: House, told: str, query: dict[str, Any], param: str) -> None:
    answer = house.client.get(f"/jobs/{told}/results", params=query)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)


def test_answers_of_any_kind_can_be_chosen(house: House) -> None:
    rows = [{"prompt": "Say where the clock is.", "completion": f"It is {number}"} for number in range(3)]
    dataset = house.add_rows(rows)
    job_id = house.done({"kind": "answers", "max_new_tokens": 2, "prompt_style": "plain"}, dataset=dataset)
    assert cell(house, job_id, reference="It is 1") == [2]
    assert cell(house, job_id, answer=house.results(job_id)[0]["models"][0]["answer"]) == [1, 2, 3]
