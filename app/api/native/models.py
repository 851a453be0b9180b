"""GET /models, GET /models/{name}: what models there are."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession, RuntimeDep
from app.api.errors import refusals
from app.errors import ModelNotFound
from app.schemas.base import Page
from app.schemas.model import ModelOut, ModelQuery

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses=refusals(ModelNotFound))
def list_models(query: Annotated[ModelQuery, Query()], session: ReadSession, runtime: RuntimeDep) -> Page[ModelOut]:
    """All models: the default one first, then the one that ships, then those that jobs made, newest first."""
    infos, has_more = runtime.models.page(session, query.after, query.limit)
    return Page(data=[ModelOut.model_validate(info) for info in infos], has_more=has_more)


@router.get("/{name}", responses=refusals(ModelNotFound))
def read_model(name: str, session: ReadSession, runtime: RuntimeDep) -> ModelOut:
    """One model."""
    return ModelOut.model_validate(runtime.models.info(session, name))
