"""What routes ask for: the runtime, a session of the right scope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, cast

from fastapi import Depends, Request

from app.db.session import Session
from app.services.keys import Caller
from app.services.runtime import Runtime


async def get_runtime(request: Request) -> Runtime:
    # async though it waits for nothing: FastAPI hands plain functions to a thread, which costs more than all else
    runtime = cast(Runtime, request.app.state.runtime)
    caller: Caller | None = getattr(request.state, "caller", None)  # put there at the door, where keys are required
    return runtime if caller is None else runtime.of(caller)


RuntimeDep = Annotated[Runtime, Depends(get_runtime)]


def _read(runtime: RuntimeDep) -> Iterator[Session]:
    with runtime.database.read() as session:
        yield session


def _write(runtime: RuntimeDep) -> Iterator[Session]:
    with runtime.database.write() as session:
        yield session


# "function" scope ends the transaction before the answer is sent, so that what was promised is committed.
ReadSession = Annotated[Session, Depends(_read, scope="function")]
WriteSession = Annotated[Session, Depends(_write, scope="function")]
