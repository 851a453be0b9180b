"""GET /metrics: figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.services.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response)
async def read_metrics(runtime: RuntimeDep) -> Response:
    """Requests, tokens, times and memory of the engines, in Prometheus' text format."""
    return Response(runtime.models.metrics.written(runtime.models.loops()), media_type=CONTENT_TYPE)
