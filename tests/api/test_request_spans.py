"""A span for each request: under the caller's, by its route, and none for those who watch over the service."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import structlog
from fastapi.testclient import TestClient

from app.config import Settings
from app.main import create_app
from tests.collector import Collector, collecting

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SENT = {"traceparent": f"00-{TRACE}-{CALLER}-01"}


@pytest.fixture
def asked(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[TestClient], object]], Collector]:
    """What a collector has once a server was asked something and has ended."""

    def ask(question: Callable[[TestClient], object]) -> Collector:
        with collecting() as collector:
            traced = settings.model_copy(update={"otlp_endpoint": collector.url})
            with TestClient(create_app(traced)) as client:
                question(client)
        return collector

    return ask


def test_it_stands_under_the_callers_and_names_its_route(
    asked: Callable[[Callable[[TestClient], object]], Collector],
) -> None:
    collector = asked(lambda client: client.get("/jobs/job_of-nobody?text=private", headers=SENT))
    (span,) = collector.spans
    assert (span.name, span.trace_id, span.parent_id) == ("GET /jobs/{job_id}", TRACE, CALLER)
    assert (span.attributes["http.response.status_code"], span.is_error) == (404, False)
    assert b"private" not in b"".join(collector.bodies)


def test_each_request_without_a_caller_begins_a_trace(
    asked: Callable[[Callable[[TestClient], object]], Collector],
) -> None:
    collector = asked(lambda client: [client.get("/models"), client.get("/models")])
    first, second = collector.spans
    assert first.trace_id != second.trace_id
    assert first.parent_id == second.parent_id == ""


def test_health_metrics_and_files_have_none(asked: Callable[[Callable[[TestClient], object]], Collector]) -> None:
    paths = ("/healthz", "/readyz", "/metrics", "/static/css/base.css")
    assert asked(lambda client: [client.get(path) for path in paths]).spans == []


def test_lines_of_the_log_name_the_trace(asked: Callable[[Callable[[TestClient], object]], Collector]) -> None:
    """The line and its trace find each other."""
    from app.log import _add_trace_id

    with structlog.testing.capture_logs(processors=[_add_trace_id]) as lines:
        asked(lambda client: client.get("/models", headers=SENT))
    (line,) = [line for line in lines if line["event"] == "request"]
    assert line["trace_id"] == TRACE


def test_without_a_collector_the_callers_trace_is_left_alone(settings: Settings) -> None:
    from app.log import _add_trace_id

    with (
        structlog.testing.capture_logs(processors=[_add_trace_id]) as lines,
        TestClient(create_app(settings)) as client,
    ):
        client.get("/models", headers=SENT)
    assert all("trace_id" not in line for line in lines)
