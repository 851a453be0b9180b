"""What an engine's requests tell of themselves: when their turn came, when the first token was there, how many came."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from app.config import Settings
from app.llm.config import SamplingParams
from app.llm.engine.request import FinishReason, Request, RequestFailed, TokenEvent
from app.services.metrics import Metrics
from app.services.request_spans import TracedWatch, watch_of
from app.services.tracing import Tracing, open_tracing
from tests.collector import Collector, collecting


class Engine:
    """Says what the test wants."""

    def __init__(self) -> None:
        self.running: set[str] = set()

    def is_running(self, request_id: str) -> bool:
        return request_id in self.running


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def tracing(settings: Settings, collector: Collector) -> Iterator[Tracing]:
    made = open_tracing(settings.model_copy(update={"otlp_endpoint": collector.url}), "inkling-test")
    yield made
    made.end()


def a_request(name: str, tokens: int = 3) -> Request:
    return Request(name, (1,) * tokens, SamplingParams(max_new_tokens=2), frozenset())


def a_token(name: str, index: int, finish_reason: FinishReason | None = None) -> TokenEvent:
    return TokenEvent(name, index, 7, -1.0, -1.0, (), finish_reason)


def test_one_that_waits_tells_for_how_long(tracing: Tracing, collector: Collector) -> None:
    engine = Engine()
    watch = watch_of(Metrics(tracing), "tiny", engine)
    with tracing.span("POST /generate"):
        watch.taken([a_request("first"), a_request("second", tokens=5)])
    engine.running = {"first"}
    watch.delivered([a_token("first", 0)])
    watch.delivered([a_token("first", 1, "length")])
    engine.running = {"second"}
    watch.delivered([])  # a piece of its prompt
    watch.delivered([a_token("second", 0, "stop")])
    tracing.end()
    (first, second), (asked,) = collector.named("generate"), collector.named("POST /generate")
    assert (first.attributes["inkling.request"], first.attributes["inkling.tokens"]) == ("first", 2)
    assert second.attributes == {
        "inkling.model": "tiny",
        "inkling.request": "second",
        "inkling.reason": "stop",
        "inkling.prompt_tokens": 5,
        "inkling.tokens": 1,
    }
    assert first.parent_id == second.parent_id == asked.span_id
    queues = {span.parent_id: span for span in collector.named("queue")}
    prefills = {span.parent_id: span for span in collector.named("prefill")}
    assert queues[second.span_id].ended_ns >= first.ended_ns  # its turn came when the other one was done
    assert queues[first.span_id].ended_ns < first.ended_ns
    assert prefills[second.span_id].began_ns == queues[second.span_id].ended_ns


def test_one_that_ends_within_a_single_step_has_all_its_parts(tracing: Tracing, collector: Collector) -> None:
    watch = watch_of(Metrics(tracing), "tiny", Engine())
    with tracing.span("POST /generate"):
        watch.taken([a_request("quick")])
    watch.delivered([a_token("quick", 0, "length")])
    tracing.end()
    assert {span.name for span in collector.spans} == {"POST /generate", "generate", "queue", "prefill", "decode"}


def test_one_that_is_dropped_or_fails_tells_how_far_it_came(tracing: Tracing, collector: Collector) -> None:
    engine = Engine()
    watch = watch_of(Metrics(tracing), "tiny", engine)
    with tracing.span("POST /generate"):
        watch.taken([a_request("gone"), a_request("broken")])
    watch.dropped(["gone"], "abort")
    engine.running = {"broken"}
    watch.delivered([RequestFailed("broken", "no memory for this private text")])
    watch.dropped(["gone", "broken"], "abort")
    tracing.end()
    reasons = {
        span.attributes["inkling.request"]: span.attributes["inkling.reason"] for span in collector.named("generate")
    }
    assert reasons == {"gone": "abort", "broken": "error"}
    assert [len(collector.named(name)) for name in ("queue", "prefill", "decode")] == [2, 1, 0]
    assert b"private" not in b"".join(collector.bodies)


def test_what_no_traced_request_asked_for_tells_nothing(tracing: Tracing, collector: Collector) -> None:
    watch = watch_of(Metrics(tracing), "tiny", Engine())
    watch.taken([a_request("own")])
    watch.delivered([a_token("own", 0, "stop")])
    tracing.end()
    assert collector.spans == []


def test_where_no_trace_is_made_nothing_is_noted() -> None:
    assert not isinstance(watch_of(Metrics(), "tiny", Engine()), TracedWatch)
