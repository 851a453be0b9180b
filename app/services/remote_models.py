"""The models that the remote server lists, and which of them is meant where none is named."""

from __future__ import annotations

from pydantic import ValidationError

from app.errors import ModelNotFound, RemoteFailed
from app.schemas.remote import RemoteCard, RemoteCards
from app.services.remote import Remote
from app.services.remote_refusals import unreadable


async def cards(remote: Remote, default: str) -> list[RemoteCard]:
    """All of them, `default` first where it is among them.

    Raises:
        RemoteFailed, RemoteRefused, RemoteUnavailable, RemoteTimeout: the remote does not tell.
    """
    told = await remote.ask("GET", "/models")
    try:
        found = RemoteCards.model_validate_json(told).data
    except ValidationError as error:
        raise unreadable("no list of models") from error
    return sorted(found, key=lambda card: card.id != default)  # stable


async def card(remote: Remote, name: str) -> RemoteCard:
    """One of them.

    Raises:
        ModelNotFound: the remote lists none of that name.
        RemoteFailed, RemoteRefused, RemoteUnavailable, RemoteTimeout: as `cards`.
    """
    for each in await cards(remote, name):
        if each.id == name:
            return each
    told = f"the generation backend has no model {name[:200]!r}; GET /v1/models lists those it has"
    raise ModelNotFound(told, param="name")


async def default_name(remote: Remote, default: str) -> str:
    """The model of a request that names none: `default` where the remote has it, else the first that it lists.

    Raises:
        RemoteFailed: it lists none, or as `cards`.
    """
    found = await cards(remote, default)
    if not found:
        raise RemoteFailed("the generation backend lists no model", retry_after_s=5)
    return found[0].id
