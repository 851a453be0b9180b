"""What `inkling doctor` says of traces."""

from __future__ import annotations

import sys

import pytest

from app.config import Settings
from app.services.tracing_check import check_traces
from tests.collector import collecting
from tests.e2e.conftest import free_port


def test_none_are_asked_for(settings: Settings) -> None:
    assert check_traces(settings).status == "ok"


def test_a_collector_that_takes_them(settings: Settings) -> None:
    with collecting() as collector:
        found = check_traces(settings.model_copy(update={"otlp_endpoint": collector.url}))
    assert (found.status, found.told) == ("ok", f"{collector.url}/v1/traces takes them")


def test_a_server_that_is_no_collector_is_a_warning(settings: Settings) -> None:
    with collecting() as collector:
        found = check_traces(settings.model_copy(update={"otlp_endpoint": f"{collector.url}/elsewhere"}))
    assert (found.status, "404" in found.told) == ("warning", True)


def test_one_that_is_away_is_a_warning_since_nothing_waits_for_it(settings: Settings) -> None:
    found = check_traces(settings.model_copy(update={"otlp_endpoint": f"http://127.0.0.1:{free_port()}"}))
    assert (found.status, "INKLING_OTLP_ENDPOINT" in found.mend) == ("warning", True)


def test_the_extra_that_is_missing_is_a_problem(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)
    found = check_traces(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:4318"}))
    assert (found.status, "[traces]" in found.mend) == ("problem", True)
