"""Spans: made under each other and under another process's, failed without words, and none where nobody takes them."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanContext

from app.config import Settings
from app.errors import PackageMissing
from app.services import tracing
from app.services.tracing import OFF, open_tracing
from tests.collector import collecting

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
UNSAMPLED = REMOTE.removesuffix("01") + "00"


def test_spans_stand_under_each_other_and_under_another_processs(settings: Settings) -> None:
    with collecting() as collector:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
        with made.span("outer", parent=REMOTE, job_id="job_1"):
            handed_on = tracing.traceparent()
            with made.span("inner", step=3):
                pass
        assert tracing.traceparent() is None
        made.end()
        made.end()
        (outer,), (inner,) = collector.named("outer"), collector.named("inner")
    assert handed_on == f"00-{outer.trace_id}-{outer.span_id}-01"
    assert (outer.trace_id, outer.parent_id) == (REMOTE[3:35], REMOTE[36:52])
    assert (inner.trace_id, inner.parent_id) == (outer.trace_id, outer.span_id)
    assert (outer.attributes, inner.attributes) == ({"inkling.job_id": "job_1"}, {"inkling.step": 3})
    assert outer.service == "inkling-test"


def test_an_exception_fails_its_span_and_its_words_stay_here(settings: Settings) -> None:
    with collecting() as collector:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
        with pytest.raises(ValueError, match="private"), made.span("broken"):
            raise ValueError("something private")
        made.end()
        (broken,) = collector.named("broken")
    assert (broken.is_error, broken.attributes) == (True, {"error.type": "ValueError"})
    assert b"private" not in b"".join(collector.bodies)


def test_what_the_caller_does_not_sample_is_not_sent(settings: Settings) -> None:
    with collecting() as collector:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
        with made.span("unasked", parent=UNSAMPLED):
            assert (tracing.traceparent() or "").endswith("-00")  # nor does the next process
        made.end()
    assert collector.spans == []


def test_off_makes_nothing(settings: Settings) -> None:
    assert open_tracing(settings, "inkling-test") is OFF
    with OFF.span("nothing", parent=REMOTE) as span:
        assert (span.is_recording(), tracing.current(), tracing.traceparent()) == (False, None, None)
        tracing.fail("anything")
    OFF.end()


def test_off_does_not_import_the_sdk() -> None:
    """What costs time and memory is left alone where no trace is made."""
    looks = "import sys, app.services.tracing; print([name for name in sys.modules if 'opentelemetry.sdk' in name])"
    said = subprocess.run([sys.executable, "-c", looks], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"


def test_a_span_of_what_is_over_has_the_times_that_are_told(settings: Settings) -> None:
    with collecting() as collector:
        made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
        with made.span("asked"):
            under = tracing.current()
        assert isinstance(under, SpanContext)
        made.past("waited", under, 1_000, 2_000, {"tokens": 1})
        made.end()
        (waited,), (asked,) = collector.named("waited"), collector.named("asked")
    assert (waited.began_ns, waited.ended_ns, waited.parent_id) == (1_000, 2_000, asked.span_id)


def test_the_extra_is_asked_for_in_words(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    tracing.need_installed(settings)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)  # as where it is not installed
    tracing.need_installed(settings)  # nobody asks for it
    with pytest.raises(PackageMissing, match=r"pip install .* -e '\.\[traces\]'"):
        open_tracing(settings.model_copy(update={"otlp_endpoint": "http://127.0.0.1:4318"}), "inkling-test")


def test_without_a_current_span_there_is_nothing_to_hand_on() -> None:
    assert tracing.traceparent() is None
    assert trace.get_current_span() is trace.INVALID_SPAN


def test_a_span_costs_nothing_worth_speaking_of_where_none_is_made() -> None:
    began = time.perf_counter()
    for _ in range(1000):
        with OFF.span("nothing", step=1):
            pass
    assert time.perf_counter() - began < 0.5  # a hundredth of that where nobody else is at work
