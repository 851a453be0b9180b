"""GET /metrics: figures for Prometheus."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.deps import RuntimeDep
from app.services import gpus, inventory
from app.services.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response)
def read_metrics(runtime: RuntimeDep) -> Response:
    """Answers; engines' requests, tokens, times, memory; jobs, data, room and GPUs; in Prometheus' text format."""
    held = inventory.read(runtime.database, runtime.storage, runtime.settings.lease_s)
    told = runtime.models.metrics.written(runtime.models.loops(), held, gpus.read())
    return Response(told, media_type=CONTENT_TYPE)
