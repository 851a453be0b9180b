"""/jobs/preview: which tokens of its rows a job would learn, before it is asked for."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import CheckpointNotFound, DataMissing, DatasetNotFound, ModelNotFound, TokenizerNotFound
from app.schemas.job import JobCreate
from app.schemas.job_preview import JobPreviewOut, JobPreviewQuery
from app.services import job_previews

router = APIRouter(prefix="/jobs", tags=["jobs"])


@router.post(
    "/preview",
    responses=refusals(DatasetNotFound, ModelNotFound, CheckpointNotFound, TokenizerNotFound, DataMissing),
)
def preview_job(body: JobCreate, query: Annotated[JobPreviewQuery, Query()], runtime: RuntimeDep) -> JobPreviewOut:
    """Rows of the same body to `POST /jobs`, of recipe instruct or dpo, as tokens: which are read, which are learnt."""
    return job_previews.preview(runtime, body, query)
