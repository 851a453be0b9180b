"""/v1/models of a remote server: what can be named as `model` where text is written."""

from __future__ import annotations

from fastapi import APIRouter

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.api.remote.deps import REFUSALS, RemoteDep
from app.errors import Conflict, ModelNotFound
from app.schemas.openai import DeletedCardOut, ModelCardOut, ModelCardsOut
from app.schemas.remote import RemoteCard
from app.services import remote_models

router = APIRouter(prefix="/v1/models", tags=["openai"])


@router.get("", responses=REFUSALS)
async def list_model_cards(runtime: RuntimeDep, remote: RemoteDep) -> ModelCardsOut:
    """All models of the remote server, the default one first."""
    found = await remote_models.cards(remote, runtime.settings.default_model)
    return ModelCardsOut(data=[_card(each) for each in found])


@router.get("/{name:path}", responses=refusals(ModelNotFound) | REFUSALS)
async def read_model_card(name: str, remote: RemoteDep) -> ModelCardOut:
    """One of them. Names may have slashes."""
    return _card(await remote_models.card(remote, name))


@router.delete("/{name:path}", responses=refusals(Conflict))
async def delete_model_card(name: str) -> DeletedCardOut:
    """Always refused: a remote server's models are not deleted from here."""
    told = f"{name[:200]!r} would be the generation backend's; DELETE /models/{{name}} deletes a model that is here"
    raise Conflict(f"name: {told}", param="name")


def _card(card: RemoteCard) -> ModelCardOut:
    return ModelCardOut(id=card.id, created=card.created, owned_by=card.owned_by)
