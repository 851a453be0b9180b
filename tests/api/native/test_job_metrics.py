"""Metrics over HTTP: pages, curves, files."""

from __future__ import annotations

import csv

import pytest

from app.db.tables.metric import MetricRow
from tests.api.native.conftest import ask, refusal


@pytest.fixture
def path(client) -> str:
    """Of a job with 2,000 steps, evaluated at every hundredth."""
    job_id = ask(client).json()["id"]
    with client.app.state.runtime.database.write() as session:
        for step in range(1, 2001):
            val_loss = 2.0 if step % 100 == 0 else None
            loss = 99.0 if step == 1234 else 5 / step
            session.add(MetricRow(job_id=job_id, step=step, created_at=step, loss=loss, val_loss=val_loss, tokens=step))
    return f"/jobs/{job_id}"


def test_a_curve_has_few_points_and_what_stands_out(client, path):
    answer = client.get(f"{path}/metrics", params={"points": 100}).json()
    steps = [row["step"] for row in answer["data"]]
    assert 80 <= len(steps) <= 100
    assert not answer["has_more"]
    assert (steps[0], steps[-1], 1234 in steps) == (1, 2000, True)
    assert set(range(100, 2001, 100)) <= set(steps)
    assert answer["data"][0]["tokens"] == 1
    later = client.get(f"{path}/metrics", params={"points": 100, "after": 1900}).json()["data"]
    assert [row["step"] for row in later] == list(range(1901, 2001))


@pytest.mark.parametrize("query", [{"points": 9}, {"points": 10_000}, {"points": "many"}, {"points": 50, "limit": 10}])
def test_a_curve_of_no_sense_is_refused(client, path, query):
    assert refusal(client.get(f"{path}/metrics", params=query)) == (422, "invalid_value", "points")


def test_a_table_comes_as_a_file(client, path):
    answer = client.get(f"{path}/metrics.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == f'attachment; filename="{path.rpartition("/")[2]}.csv"'
    rows = list(csv.DictReader(answer.text.splitlines()))
    assert [int(row["step"]) for row in rows] == list(range(1, 2001))
    assert float(rows[1233]["loss"]) == 99.0


def test_an_event_file_comes_as_a_file(client, path):
    answer = client.get(f"{path}/tensorboard")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="events.out.tfevents.' in answer.headers["content-disposition"]
    assert answer.content.count(b"val_loss") == 20


def test_a_job_that_is_not_there(client):
    for name in ("metrics?points=50", "metrics.csv", "tensorboard"):
        assert refusal(client.get(f"/jobs/nope/{name}")) == (404, "job_not_found", None)
