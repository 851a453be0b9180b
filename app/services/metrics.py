"""What the engines do and what was answered, counted for Prometheus; names and meanings stand in docs/metrics.md.

Counters and histograms are written by the engines' threads and the server's, gauges are read when asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_1_0_0
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from app.llm.engine.request import Event, PromptScored, Request, RequestFailed
from app.services.tracing import OFF, Tracing

CONTENT_TYPE = CONTENT_TYPE_PLAIN_1_0_0
TO_FIRST_TOKEN_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
PER_TOKEN_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
OF_ANSWER_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
OF_REQUEST_S = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 600.0)


class Gauges(Protocol):
    """What an engine loop tells of itself."""

    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def kv_cache_usage(self) -> float: ...


class Metrics:
    """One process's figures."""

    def __init__(self, tracing: Tracing = OFF) -> None:
        self.tracing = tracing  # of what the figures sum up, one by one
        self.registry = registry = CollectorRegistry()

        def counter(name: str, told: str, *labels: str) -> Counter:
            return Counter(name, told, ["model", *labels], registry=registry)

        def seconds(name: str, told: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"{name}_seconds", told, ["model"], registry=registry, buckets=buckets)

        self.prompt_tokens = counter("inkling_prompt_tokens", "Tokens of prompts taken.")
        self.new_tokens = counter("inkling_generation_tokens", "Tokens written.")
        self.ended = counter("inkling_requests", "Requests that ended, by why.", "reason")
        self.to_first = seconds("inkling_time_to_first_token", "From taken to the first token.", TO_FIRST_TOKEN_S)
        self.per_token = seconds("inkling_time_per_output_token", "From a token to the next.", PER_TOKEN_S)
        self.whole = seconds("inkling_request", "From taken to the last token.", OF_REQUEST_S)
        by_route = ["method", "route"]
        told = "Answers over HTTP, by the route's template and the status."
        self.answers = Counter("inkling_http_requests", told, [*by_route, "status"], registry=registry)
        told = "From a request's head to the last byte of its answer."
        self.answer_s = Histogram("inkling_http_seconds", told, by_route, registry=registry, buckets=OF_ANSWER_S)

        told = "Requests beyond what a key or an address may ask for, by the limit."
        self.over_limit = Counter("inkling_over_limit", told, ["limit"], registry=registry)
        told = "Times that the counters shared by all web processes could not be reached."
        self.limit_store_errors = Counter("inkling_limit_store_errors", told, registry=registry)

    def watch(self, model: str) -> EngineWatch:
        """What counts for one engine."""
        return EngineWatch(self, model)

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """An answer that has ended; `status` is 0 where none began."""
        self.answers.labels(method, route, status).inc()
        self.answer_s.labels(method, route).observe(seconds)

    def written(self, loops: Mapping[str, Gauges], *others: Collector) -> bytes:
        """All figures in Prometheus' text format, with those of the engines that are there now and of `others`."""
        live = CollectorRegistry()
        for each in (_Live(loops), *others):
            live.register(each)
        return generate_latest(self.registry) + generate_latest(live)


@dataclass(eq=False)
class _Live(Collector):
    loops: Mapping[str, Gauges]

    def collect(self) -> Iterator[Metric]:
        for name, told, field in (
            ("inkling_requests_running", "Requests that hold key-value memory.", "running"),
            ("inkling_requests_waiting", "Requests that wait for memory.", "waiting"),
            ("inkling_kv_cache_usage_ratio", "Part of the key-value memory that is reserved.", "kv_cache_usage"),
        ):
            family = GaugeMetricFamily(name, told, labels=["model"])
            for model, loop in self.loops.items():
                family.add_metric([model], getattr(loop, field))
            yield family


@dataclass(slots=True)
class _Timed:
    taken: float
    last: float | None = None


class EngineWatch:
    """Sees what goes into one engine and what comes out."""

    def __init__(self, metrics: Metrics, model: str) -> None:
        self._ended, self._model = metrics.ended, model
        self._prompt_tokens = metrics.prompt_tokens.labels(model)
        self._new_tokens = metrics.new_tokens.labels(model)
        self._to_first = metrics.to_first.labels(model)
        self._per_token = metrics.per_token.labels(model)
        self._whole = metrics.whole.labels(model)
        self._open: dict[str, _Timed] = {}

    def taken(self, requests: Iterable[Request]) -> None:
        now = time.perf_counter()
        for request in requests:
            self._open[request.id] = _Timed(now)
            self._prompt_tokens.inc(len(request.prompt_ids))

    def delivered(self, events: Iterable[Event]) -> None:
        """What one step brought."""
        now = time.perf_counter()
        for event in events:
            timed = self._open.get(event.request_id)
            if timed is None:
                continue
            if isinstance(event, RequestFailed):
                self.dropped([event.request_id], "error")
                continue
            if not isinstance(event, PromptScored):
                self._new_tokens.inc()
                if timed.last is None:
                    self._to_first.observe(now - timed.taken)
                else:
                    self._per_token.observe(now - timed.last)
                timed.last = now
            if event.finish_reason is not None:
                self._whole.observe(now - timed.taken)
                self.dropped([event.request_id], event.finish_reason)

    def dropped(self, request_ids: Iterable[str], reason: str) -> None:
        """These ended, and nothing more comes of them."""
        for request_id in request_ids:
            if self._open.pop(request_id, None) is not None:
                self._ended.labels(self._model, reason).inc()
