"""How spans leave this process: OpenTelemetry's SDK, of the extra `traces`. Imported only where traces are wanted.

A span that ends goes into a bounded queue, which one thread empties: a collector that is away or slow costs spans, and
neither requests nor jobs. The SDK's own variables (`OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, ...) hold.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

QUEUED = 2048
"""Spans that may wait; beyond, each new one pushes out the oldest."""
SENT_AT_ONCE = 1024
SENT_WITHIN_S = 3.0
"""Of one sending, trying again included. At its end a process waits for three of them at most."""
TOLD_EVERY_S = 60.0
LONGEST_CHARACTERS = 256
"""Of an attribute: paths and methods are a client's own words."""
QUERY = "url.query"
LOGGERS = ("opentelemetry.exporter.otlp.proto.http.trace_exporter", "opentelemetry.sdk._shared_internal")


def provider(url: str, service: str) -> TracerProvider:
    """What makes spans in the name of `service` and sends them to `url`; what waits is sent when the process ends."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(Seldom())
    where = f"{socket.gethostname()}-{os.getpid()}"
    named = {"service.name": service, "service.namespace": "inkling", "service.instance.id": where}
    made = TracerProvider(
        resource=Resource.create(named), span_limits=SpanLimits(max_attribute_length=LONGEST_CHARACTERS)
    )
    made.add_span_processor(WithoutQueries())
    exporter = OTLPSpanExporter(url, timeout=SENT_WITHIN_S)
    made.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=QUEUED, max_export_batch_size=SENT_AT_ONCE))
    return made


class WithoutQueries(SpanProcessor):
    """Has no span tell what stood behind a path's question mark: texts of pages, and a page's token."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002 - the SDK's own
        if span.attributes is not None and QUERY in span.attributes:
            span.set_attribute(QUERY, "REDACTED")


class Seldom(logging.Filter):
    """Of what is said each time that a collector does not answer, lets one failure a minute through."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock, self._next = clock, 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        now = self._clock()
        if record.levelno < logging.ERROR or now < self._next:
            return False
        self._next = now + TOLD_EVERY_S
        return True
