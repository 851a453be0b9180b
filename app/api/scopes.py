"""Which scope a request needs, for every route, here alone. What stands nowhere here needs `admin`."""

from __future__ import annotations

from app.api.route_table import RouteTable
from app.services.keys import Scope

OPEN = ("GET /healthz", "GET /readyz", "GET /ui/sign-in", "POST /ui/sign-in")
OPEN_UNDER = "/static/"
"""Style sheets, scripts and pictures: what anybody may fetch who has the source."""

SCOPES: dict[Scope, tuple[str, ...]] = {
    # All that is read, pages among them: every GET and HEAD that has no line here. What follows changes nothing.
    "read": (
        "POST /ui/learn/{chapter}/{step}",  # asks the routes that it shows, each of which asks for its own
        "POST /ui/sign-out",
    ),
    "generate": (
        "POST /tokenize",
        "POST /encode",
        "POST /decode",
        "POST /detokenize",
        "POST /tokenizers/report",
        "POST /windows",
        "POST /embeddings",
        "POST /embeddings/analogy",
        "POST /inspect",
        "POST /classify",
        "POST /generate",
        "POST /branches",
        "DELETE /branches/{branch_id}",
        "POST /lessons/{route}",
        "POST /v1/completions",
        "POST /v1/chat/completions",
        "POST /v1/embeddings",
        "POST /ui/generate",
    ),
    "train": (
        "POST /tokenizers",
        "DELETE /tokenizers/{name}",
        "POST /models",
        "POST /models/upload",
        "POST /models/{name}/load",
        "POST /models/{name}/unload",
        "DELETE /models/{name}",
        "POST /datasets",
        "DELETE /datasets/{dataset_id}",
        "POST /jobs",
        "POST /jobs/estimate",
        "POST /jobs/preview",
        "POST /jobs/{job_id}/cancel",
        "POST /jobs/{job_id}/pause",
        "POST /jobs/{job_id}/resume",
        "POST /jobs/{job_id}/retry",
        "POST /jobs/{job_id}/duplicate",
        "PATCH /jobs/{job_id}",
        "DELETE /jobs/{job_id}",
        "DELETE /jobs/{job_id}/checkpoints/{step}",
        "POST /v1/files",
        "DELETE /v1/files/{file_id}",
        "DELETE /v1/models/{name:path}",
        "POST /v1/fine_tuning/jobs",
        "POST /v1/fine_tuning/jobs/{job_id}/cancel",
        "POST /v1/fine_tuning/jobs/{job_id}/pause",
        "POST /v1/fine_tuning/jobs/{job_id}/resume",
        "POST /ui/datasets",
        "POST /ui/datasets/{dataset_id}",
        "POST /ui/models/{name}",
    ),
    # Names everybody's models, so that `read` is not enough; whatever scrapes it should be able to do nothing else.
    "metrics": ("GET /metrics",),
    "admin": ("GET /audit",),
}

_TABLE = RouteTable((line, scope) for scope, lines in SCOPES.items() for line in lines)


def needed(method: str, path: str) -> Scope | None:
    """The scope of a request; None: anybody may ask."""
    found = _TABLE.find("GET" if method == "HEAD" else method, path)
    if found is not None:
        return found[0]
    route = f"{method} {path}"
    if method in ("GET", "HEAD"):
        return None if path.startswith(OPEN_UNDER) or route in OPEN else "read"
    return None if route in OPEN else "admin"
