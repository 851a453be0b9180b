"""GET /metrics: figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.services import inventory
from app.services.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response)
def read_metrics(runtime: RuntimeDep) -> Response:
    """Answers, requests, tokens, times and memory of the engines; jobs, data and room; in Prometheus' text format."""
    held = inventory.read(runtime.database, runtime.storage, runtime.settings.lease_s)
    return Response(runtime.models.metrics.written(runtime.models.loops(), held), media_type=CONTENT_TYPE)
