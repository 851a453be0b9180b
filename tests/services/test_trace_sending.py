"""Spans on their way out: nobody waits for a collector that is slow, away, or takes no more."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from app.services.trace_sending import LONGEST_CHARACTERS, QUEUED, SENT_WITHIN_S, TOLD_EVERY_S, Seldom, provider
from app.services.tracing import Tracing
from tests.collector import collecting


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of one who takes connections and never says anything."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    taken.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1/traces"
        listener.shutdown(socket.SHUT_RDWR)
    for each in taken:
        each.close()


def test_nobody_waits_for_a_silent_collector(silent: str) -> None:
    made = provider(silent, "inkling-test")
    tracing = Tracing(made, made.shutdown)
    began = time.monotonic()
    for step in range(2 * QUEUED):  # more than may wait
        with tracing.span("step", step=step):
            pass
    assert time.monotonic() - began < SENT_WITHIN_S  # not a single sending was waited for
    began = time.monotonic()
    tracing.end()
    assert time.monotonic() - began < 3 * SENT_WITHIN_S + 5


def test_a_query_and_long_words_stay_here() -> None:
    with collecting() as collector:
        made = provider(f"{collector.url}/v1/traces", "inkling-test")
        tracer = made.get_tracer("fastapi")
        tracer.start_span("GET", attributes={"url.query": "text=private", "url.path": "/" + "x" * 1000}).end()
        made.shutdown()
        (span,) = collector.spans
    assert span.attributes["url.query"] == "REDACTED"
    assert len(str(span.attributes["url.path"])) == LONGEST_CHARACTERS


def test_a_collector_that_is_away_is_told_of_once_a_minute() -> None:
    now = 100.0
    seldom = Seldom(lambda: now)

    def passes(level: int) -> bool:
        return seldom.filter(logging.LogRecord("exporter", level, "", 0, "not sent", None, None))

    assert [passes(logging.WARNING), passes(logging.ERROR), passes(logging.ERROR)] == [False, True, False]
    now += TOLD_EVERY_S
    assert passes(logging.ERROR)
