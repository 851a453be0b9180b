"""GET /metrics over the service: what was answered, what is kept, how long jobs wait, a database that is away."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy.exc import OperationalError

from app.services import inventory
from tests.api.native.conftest import TIDE


def figures(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_answers_count_by_route_and_not_by_what_clients_write(client: TestClient) -> None:
    for path in ("/datasets/one", "/datasets/two", "/never/heard/of", "/also/not", "/static/js/dom.js"):
        client.get(path)
    client.request("BREW", "/datasets")
    told = figures(client)
    total = "inkling_http_requests_total"
    assert told[total, "GET", "/datasets/{dataset_id}", "404"] == 2
    assert told[total, "GET", "unmatched", "404"] == 2
    assert told[total, "GET", "/static", "200"] == 1
    assert told[total, "other", "/datasets", "405"] == 1
    assert told["inkling_http_seconds_count", "GET", "/datasets/{dataset_id}"] == 2


def test_jobs_and_what_is_kept(client: TestClient) -> None:
    assert client.post("/datasets", files={"file": ("one.txt", b"The tide turns. " * 20)}).status_code == 201
    before = figures(client)
    assert (before["inkling_jobs", "queued"], before["inkling_job_wait_seconds",]) == (0, 0)
    job = client.post("/jobs", json=TIDE).json()
    after = figures(client)
    assert after["inkling_jobs", job["status"]] == 1
    assert after["inkling_stored", "datasets"] == len(client.get("/datasets").json()["data"])
    assert after["inkling_stored_bytes", "datasets"] > 320
    assert (after["inkling_workers",], after["inkling_database_up",]) == (0, 1)
    assert 0 < after["inkling_disk_free_bytes",] <= after["inkling_disk_bytes",]


def test_the_rest_is_told_while_the_database_is_away(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise OperationalError("SELECT", {}, Exception("connection refused"))

    monkeypatch.setattr(inventory, "_held", away)
    told = figures(client)
    assert told["inkling_database_up",] == 0
    assert told["inkling_disk_bytes",] > 0
    assert ("inkling_workers",) not in told
