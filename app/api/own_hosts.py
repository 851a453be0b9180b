"""By which names this server is called. A page of another site whose name was made to lead here (DNS rebinding) would
read what we answer as its own; but its browser names that site, and so it is refused."""

from __future__ import annotations

import re
import socket
from ipaddress import ip_address

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.errors import refusal
from app.config import Settings
from app.errors import AppError, BadHost, UnknownHost

_HOST = re.compile(r"(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:\d{1,5})?")


class OwnHosts:
    """Around the routes: whoever names another host gets 421. Addresses are no names: nobody makes one lead here."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        machine = socket.gethostname().lower()
        self._app = app
        self._names = {"localhost", settings.host.lower(), machine, f"{machine}.local", *settings.allowed_host_names}
        self._ends = tuple(name[1:] for name in (*self._names, "*.localhost") if name.startswith("*."))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and "*" not in self._names:
            try:
                self._check([value for name, value in scope["headers"] if name == b"host"])
            except AppError as error:
                return await refusal(error, Request(scope))(scope, receive, send)
        await self._app(scope, receive, send)

    def _check(self, sent: list[bytes]) -> None:
        found = _HOST.fullmatch(sent[0].decode("latin-1")) if len(sent) == 1 else None
        if found is None:
            raise BadHost("the header Host is to come once, as NAME or NAME:PORT")
        name = found[1].strip("[]").rstrip(".").lower()
        if name not in self._names and not name.endswith(self._ends) and not _is_address(name):
            raise UnknownHost(f"this server is not called {name[:100]}; if it is, INKLING_ALLOWED_HOSTS is to say so")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
