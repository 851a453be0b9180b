"""Around the routes: has the audit log tell of what was done and what was refused, before the answer is sent."""

from __future__ import annotations

import json
from typing import Any

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.audited import MAKING, REFUSED, REFUSED_STATUSES, action_of
from app.log import bound
from app.services import audit
from app.services.audit import Deed, Outcome, Refusals
from app.services.runtime import Runtime

READ_BYTES = 64 * 1024
"""Of an answer that tells the id of what was made, or why nothing was."""
NOT_READY = 503  # the database may be what is away: no row is waited for


class AuditLog:
    """Where `audit_days` is 0, it is not there."""

    def __init__(self, app: ASGIApp) -> None:
        self._app, self._refusals = app, Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        action = action_of(scope["method"], scope["path"])
        begun: Message | None = None

        async def told(message: Message) -> None:
            """Holds the head of an answer back until its body begins, which says what came of it."""
            nonlocal begun
            if message["type"] == "http.response.start" and _is_told(action, message["status"]):
                begun = message
                return
            if begun is not None and message["type"] == "http.response.body":
                head, begun = begun, None
                await self._tell(scope, action, head, message.get("body", b""))
                await send(head)
            await send(message)

        await self._app(scope, receive, told)

    async def _tell(self, scope: Scope, action: tuple[str, str | None] | None, head: Message, body: bytes) -> None:
        status, headers = head["status"], Headers(raw=head["headers"])
        said = _said(headers, body)
        caller, client = scope.get("state", {}).get("caller"), scope.get("client")
        deed = Deed(
            action=REFUSED if action is None else action[0],
            outcome=_outcome(status),
            key_id=None if caller is None else caller.key_id,
            address=client[0] if client else None,
            request_id=bound("request_id"),
            resource=None if action is None else _resource(action, status, headers, said),
            status=status,
            code=_code(said),
            request=f"{scope['method']} {scope['path']}",
        )
        times = 1 if deed.outcome == "done" else self._refusals.times(deed)
        if not times or status == NOT_READY:
            return
        runtime: Runtime | None = getattr(scope["app"].state, "runtime", None)
        if runtime is not None:  # an app that has not been started refuses, too, and has nowhere to write it
            await to_thread.run_sync(audit.write, runtime.database, deed, times)


def _is_told(action: tuple[str, str | None] | None, status: int) -> bool:
    return action is not None or status in REFUSED_STATUSES


def _outcome(status: int) -> Outcome:
    return "done" if status < 400 else "refused" if status < 500 else "failed"


def _said(headers: Headers, body: bytes) -> dict[str, Any]:
    """The answer where it is a short JSON object."""
    if not headers.get("content-type", "").startswith("application/json") or len(body) > READ_BYTES:
        return {}
    try:
        found = json.loads(body)
    except ValueError:  # the first part of a longer one
        return {}
    return found if isinstance(found, dict) else {}


def _code(said: dict[str, Any]) -> str | None:
    error = said.get("error")
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, str) else None


def _resource(action: tuple[str, str | None], status: int, headers: Headers, said: dict[str, Any]) -> str | None:
    """The id or name of what was made, else of what the path names."""
    if action[0] not in MAKING or _outcome(status) != "done":
        return action[1]
    found = said.get("id") or said.get("name") or headers.get("location", "").rpartition("/")[2]
    return found if isinstance(found, str) and found else action[1]
