"""/v1/models: what can be named as `model`."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import ReadSession, RuntimeDep, WriteSession
from app.api.errors import refusals
from app.errors import CheckpointNotFound, Conflict, DataMissing, ModelNotFound
from app.schemas.openai import DeletedCardOut, ModelCardOut, ModelCardsOut
from app.services import registry
from app.services.model_info import ModelInfo

router = APIRouter(prefix="/v1/models", tags=["openai"])


@router.get("")
def list_model_cards(session: ReadSession, runtime: RuntimeDep) -> ModelCardsOut:
    """All models that generate, the default one first."""
    infos = runtime.catalogue.list(session)
    return ModelCardsOut(data=[_card(info) for info in infos if info.writes])


@router.get("/{name}", responses=refusals(ModelNotFound, CheckpointNotFound, DataMissing))
def read_model_card(name: str, session: ReadSession, runtime: RuntimeDep) -> ModelCardOut:
    """One model."""
    return _card(runtime.catalogue.info(session, name))


@router.delete("/{name}", responses=refusals(ModelNotFound, Conflict))
def delete_model_card(name: str, session: WriteSession, runtime: RuntimeDep) -> DeletedCardOut:
    """Delete a model that is idle and that no unfinished job needs, with its files."""
    registry.delete(session, runtime, name)
    return DeletedCardOut(id=name)


def _card(info: ModelInfo) -> ModelCardOut:
    return ModelCardOut(id=info.name, created=info.created_at or 0, owned_by="inkling")
