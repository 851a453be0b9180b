"""/jobs/estimate: what a job would take, before it is asked for."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import (
    CheckpointNotFound,
    DataMissing,
    DatasetNotFound,
    ModelNotFound,
    NameTaken,
    TokenizerNotFound,
)
from app.schemas.estimate import EstimateOut
from app.schemas.job import JobCreate
from app.services import estimates

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "/estimate",
    responses=refusals(DatasetNotFound, ModelNotFound, CheckpointNotFound, TokenizerNotFound, DataMissing, NameTaken),
)
def estimate_job(body: JobCreate, runtime: RuntimeDep) -> EstimateOut:
    """What the same body to `POST /jobs` would take: memory, disk, steps, time. Tries some steps, within a minute."""
    return estimates.estimate(runtime, body)
