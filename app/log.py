"""Structured logs on standard error: one line an event, request id, job id and trace id on each."""

from __future__ import annotations

import logging
import sys

import structlog
from opentelemetry import trace
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars, merge_contextvars

__all__ = ["bind_contextvars", "bound", "clear_contextvars", "configure_logging", "get_logger"]


def configure_logging(level: str = "info", log_format: str = "console") -> None:
    """Send structlog's and the standard library's records through one renderer."""
    shared: list[structlog.types.Processor] = [
        merge_contextvars,
        _add_trace_id,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("alembic.runtime.migration").setLevel(max(root.level, logging.WARNING))  # chatty
    for client in ("httpx", "httpcore"):  # they tell of each request and its headers
        logging.getLogger(client).setLevel(max(root.level, logging.WARNING))


def _add_trace_id(_logger: object, _method: str, line: structlog.types.EventDict) -> structlog.types.EventDict:
    """By which a line is found beside the trace of its request or job; none where no trace is made."""
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line.setdefault("trace_id", trace.format_trace_id(context.trace_id))
    return line


def bound(name: str) -> str | None:
    """What every line says of this name now; None where it says nothing."""
    found = get_contextvars().get(name)
    return None if found is None else str(found)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger that takes an event name and keyword fields."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
