"""A span for each request that is worth one, made by FastAPI; under the client's own where it sends a `traceparent`."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from fastapi.telemetry import TelemetryConfig

from app.api.limiting import NOT_COUNTED
from app.services.tracing import Tracing

STATIC = "/static/"


def spans_of_requests(tracing: Tracing) -> TelemetryConfig:
    """FastAPI's configuration: spans where `tracing` makes any, and nothing of FastAPI's own beside them."""
    return {
        "tracing": tracing.is_on,
        "tracer_provider": tracing.provider,
        "metrics": False,
        "logs": False,
        "operation_spans": False,  # of dependencies and serialisation: a dozen a request, and what they take is nothing
        "auto_configure": False,
        "exclude": _is_left_out,
    }


def _is_left_out(scope: MutableMapping[str, Any]) -> bool:
    """Who watches over the service asks every few seconds; files are files."""
    path: str = scope["path"]
    return path in NOT_COUNTED or path.startswith(STATIC)
