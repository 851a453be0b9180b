"""GET /healthz, GET /readyz: is the process alive, and can it do its work."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from app.api.deps import RuntimeDep
from app.api.errors import app_error_body, refusals
from app.errors import NotReady
from app.schemas.health import HealthOut, ReadyOut
from app.services.health import readiness

router = APIRouter(tags=["health"])

RETRY_AFTER_S = 2


@router.get("/healthz")
async def healthz() -> HealthOut:
    """200 as long as the process answers at all."""
    return HealthOut(status="ok")


@router.get("/readyz", response_model=ReadyOut, responses=refusals(NotReady))
async def readyz(runtime: RuntimeDep) -> Any:
    """200 once the database and the default model, or the remote backend, can be used; else 503 and what is missing."""
    parts = await readiness(runtime)
    missing = [f"{name} ({part.detail})" for name, part in parts.items() if not part.ready]
    body: dict[str, Any] = {"ready": not missing, "parts": {name: asdict(part) for name, part in parts.items()}}
    if not missing:
        return body
    refusal = NotReady("not ready: " + ", ".join(missing), retry_after_s=RETRY_AFTER_S)
    return JSONResponse(app_error_body(refusal) | body, refusal.status, {"Retry-After": str(RETRY_AFTER_S)})
