"""Whether traces can be made and sent, where they are asked for: a check of `inkling doctor`."""

from __future__ import annotations

import httpx

from app.config import Settings
from app.services.check import Check
from app.services.tracing import INSTALL, is_installed

ANSWER_S = 3.0
NOTHING = b""
"""An `ExportTraceServiceRequest` without a span, as protobuf writes it."""


def check_traces(settings: Settings) -> Check:
    """Whether what sends them is installed, and a collector takes them. One that does not costs spans alone."""
    url = settings.traces_url
    if url is None:
        return Check("traces", "ok", "none; INKLING_OTLP_ENDPOINT would turn them on")
    if not is_installed():
        told = "INKLING_OTLP_ENDPOINT asks for them, and what sends them is not installed: no server or worker starts"
        return Check("traces", "problem", told, f"run {INSTALL}, or leave the setting empty")
    mend = "correct INKLING_OTLP_ENDPOINT, or start the collector; until then spans are thrown away"
    try:
        answer = httpx.post(
            url, content=NOTHING, headers={"Content-Type": "application/x-protobuf"}, timeout=ANSWER_S, trust_env=False
        )
    except httpx.HTTPError as error:
        return Check("traces", "warning", f"{url} does not answer: {error}", mend)
    if answer.status_code in (401, 403):  # the SDK's own variables may hold what it wants to see
        return Check("traces", "ok", f"{url} answers {answer.status_code}; OTEL_EXPORTER_OTLP_HEADERS goes with spans")
    if not answer.is_success:
        return Check("traces", "warning", f"{url} answers {answer.status_code}", mend)
    return Check("traces", "ok", f"{url} takes them")
