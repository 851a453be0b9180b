"""Each answer, counted for Prometheus by its route, so that no client's own words become a label."""

from __future__ import annotations

from starlette.types import Scope

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def count(scope: Scope, status: int, seconds: float) -> None:
    """One answer, or `status` 0 where the client was gone before it began. Counts nothing while the service starts."""
    app = scope.get("app")
    runtime = getattr(app.state, "runtime", None) if app is not None else None
    if runtime is None:
        return
    method = scope["method"] if scope["method"] in METHODS else "other"
    runtime.models.metrics.answered(method, _route(scope), status, seconds)


def _route(scope: Scope) -> str:
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        return str(route)
    return "/static" if scope["path"].startswith("/static/") else "unmatched"
