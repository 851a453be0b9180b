"""/models: what models there are; into memory and out of it; delete."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.errors import CheckpointNotFound, Conflict, DataMissing, ModelNotFound, NotReady, TooLarge
from app.schemas.base import Page
from app.schemas.model import DeletedModelOut, ModelOut, ModelQuery
from app.services import registry

router = APIRouter(prefix="/models", tags=["models"])


@router.get("", responses=refusals(ModelNotFound))
def list_models(query: Annotated[ModelQuery, Query()], session: ReadSession, runtime: RuntimeDep) -> Page[ModelOut]:
    """All models: the default one first, then the one that ships, then the others, newest first."""
    infos, has_more = runtime.catalogue.page(session, query.after, query.limit)
    return Page(data=[ModelOut.model_validate(info) for info in infos], has_more=has_more)


@router.get("/{name}", responses=refusals(ModelNotFound, CheckpointNotFound, DataMissing))
def read_model(name: str, session: ReadSession, runtime: RuntimeDep) -> ModelOut:
    """One model, or the one that a checkpoint, `job_id@step`, holds."""
    return ModelOut.model_validate(runtime.catalogue.info(session, name))


@router.post("/{name}/load", responses=refusals(ModelNotFound, CheckpointNotFound, DataMissing, TooLarge, NotReady))
async def load_model(name: str, runtime: RuntimeDep) -> ModelOut:
    """Load a model into memory, and wait until it is there; idle ones make room."""
    return ModelOut.model_validate(await registry.load(runtime, name))


@router.post("/{name}/unload", responses=refusals(ModelNotFound, CheckpointNotFound, DataMissing, Conflict))
def unload_model(name: str, runtime: RuntimeDep) -> ModelOut:
    """Take an idle model out of memory; a request loads it again."""
    return ModelOut.model_validate(registry.unload(runtime, name))


@router.delete("/{name}", responses=refusals(ModelNotFound, Conflict))
def delete_model(name: str, session: WriteSession, runtime: RuntimeDep) -> DeletedModelOut:
    """Delete a model that is idle and that no unfinished job needs, with its files."""
    registry.delete(session, runtime, name)
    return DeletedModelOut(name=name)
