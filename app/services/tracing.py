"""Traces: what a request, and the job that it asked for, took where. Sent by OTLP to whom the settings name.

Where they name nobody, nothing is made, and OpenTelemetry's SDK is not imported. No prompt, text or key goes into a
span, nor the message of an exception, which may quote them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec

from opentelemetry import trace
from opentelemetry.trace import NoOpTracerProvider, Span, SpanContext, SpanKind, StatusCode, Tracer, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from app.config import Settings
from app.errors import PackageMissing

INSTALL = "pip install -c constraints.txt -e '.[traces]'"
_TRACE_CONTEXT = TraceContextTextMapPropagator()


class Tracing:
    """What one process makes spans with."""

    def __init__(self, provider: TracerProvider | None = None, end: Callable[[], None] = lambda: None) -> None:
        """With what `provider` sends; None: make none. `end` sends what still waits."""
        self.is_on = provider is not None
        self.provider: TracerProvider = provider or NoOpTracerProvider()
        self._tracer: Tracer = self.provider.get_tracer("inkling")
        self._end = end

    @contextmanager
    def span(
        self, name: str, *, kind: SpanKind = SpanKind.INTERNAL, parent: str | None = None, **said: AttributeValue
    ) -> Iterator[Span]:
        """What happens inside is one; `said` stands in it with the prefix `inkling.`.

        Args:
            parent: as `traceparent()` said elsewhere; None: what is current here.
        """
        if not self.is_on:
            yield trace.INVALID_SPAN
            return
        context = None if parent is None else _TRACE_CONTEXT.extract({"traceparent": parent})
        attributes = {f"inkling.{key}": value for key, value in said.items()}
        with self._tracer.start_as_current_span(
            name, context, kind, attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield span
            except BaseException as error:
                fail(type(error).__name__)
                raise

    def past(
        self, name: str, parent: SpanContext, began_ns: int, ended_ns: int, said: Mapping[str, AttributeValue]
    ) -> SpanContext:
        """A span of what is over, in Unix time; what others may be made under."""
        under = trace.set_span_in_context(trace.NonRecordingSpan(parent))
        attributes = {f"inkling.{key}": value for key, value in said.items()}
        span = self._tracer.start_span(name, under, attributes=attributes, start_time=began_ns)
        span.end(ended_ns)
        return span.get_span_context()

    def end(self) -> None:
        """Send what waits, as far as that can be done in time, and make no more. Safe to call twice."""
        self._end()


OFF = Tracing()


def fail(code: str) -> None:
    """Say of the current span that it failed, and of what kind; never in the words of an exception."""
    span = trace.get_current_span()
    span.set_attribute("error.type", code)
    span.set_status(StatusCode.ERROR)


def current() -> SpanContext | None:
    """The span within which this is called; None where there is none."""
    context = trace.get_current_span().get_span_context()
    return context if context.is_valid else None


def traceparent() -> str | None:
    """The current span as W3C Trace Context writes it, for another process to go on with; None where there is none."""
    carrier: dict[str, str] = {}
    _TRACE_CONTEXT.inject(carrier)
    return carrier.get("traceparent")


def is_installed() -> bool:
    """Whether what sends traces is here. Imports none of it."""
    try:
        return all(find_spec(name) for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # one of the packages above it is missing
        return False


def need_installed(settings: Settings) -> None:
    """Pass where what the settings ask for can be done.

    Raises:
        PackageMissing: traces are wanted and the extra `traces` is not installed.
    """
    if settings.traces_url is not None and not is_installed():
        told = "INKLING_OTLP_ENDPOINT asks for traces, and what sends them is not installed"
        raise PackageMissing(f"{told}; in Inkling's folder: {INSTALL}, or leave the setting empty")


def open_tracing(settings: Settings, service: str) -> Tracing:
    """Tracing for a process of this kind, with a thread that sends; `OFF` where the settings name nobody.

    Raises:
        PackageMissing: as `need_installed`.
    """
    if settings.traces_url is None:
        return OFF
    need_installed(settings)
    from app.services import trace_sending  # late: it is an extra

    provider = trace_sending.provider(settings.traces_url, service)
    return Tracing(provider, provider.shutdown)
