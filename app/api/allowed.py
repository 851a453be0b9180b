"""Which methods an address takes. The router itself names only those of the first of its routes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from starlette.requests import Request
from starlette.routing import BaseRoute, Match, Route


def allowed(request: Request) -> str:
    """The header `Allow` for a method that its address does not take.

    Of an address that is written out those alone: `GET /jobs/estimate` leads to a job that can never be.
    """
    routes = (route for route in _leaves(request.app.routes) if isinstance(route, Route))
    found = [route for route in routes if route.matches(request.scope)[0] is not Match.NONE]
    path = min((route.path for route in found), key=lambda path: path.count("{"), default="")
    methods = [route.methods or set() for route in found if route.path == path]
    return ", ".join(sorted(set[str]().union(*methods)))


def _leaves(routes: Iterable[BaseRoute | Any]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from _leaves(inner.routes)
