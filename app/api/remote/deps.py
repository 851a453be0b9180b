"""The remote server that these routes ask."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends

from app.api.deps import RuntimeDep
from app.api.errors import refusals
from app.errors import RemoteFailed, RemoteRefused, RemoteTimeout, RemoteUnavailable
from app.services.remote import Remote

REFUSALS = refusals(RemoteRefused, RemoteFailed, RemoteUnavailable, RemoteTimeout)


async def _remote(runtime: RuntimeDep) -> Remote:
    assert runtime.remote is not None, "these routes are there only where a remote server generates"
    return runtime.remote


RemoteDep = Annotated[Remote, Depends(_remote)]
