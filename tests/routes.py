"""Every route of an app, however deep its routers lie."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route


@dataclass(frozen=True)
class Way:
    """A method and a path as they are declared."""

    method: str
    path: str

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def asked(self) -> str:
        """The path with a word in each of its places."""
        return "/".join("x" if part.startswith("{") else part for part in self.path.split("/"))


def ways(app: FastAPI) -> list[Way]:
    """All but what is mounted, which `mounts` tells. A kind of route that is not known here fails."""
    return [
        Way(method, route.path) for route in _routes(app.routes) if isinstance(route, Route) for method in route.methods
    ]


def mounts(app: FastAPI) -> list[str]:
    return [route.path for route in _routes(app.routes) if isinstance(route, Mount)]


def _routes(routes: list[Any]) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "original_router"):
            yield from _routes(route.original_router.routes)
        else:
            assert isinstance(route, APIRoute | Route | Mount), f"{route} is of a kind that no test walks"
            yield route
