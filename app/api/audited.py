"""Which requests the audit log tells of, for every route, here alone: by the action that a route is.

Those that are refused for who asks are told of all routes; of these, whatever comes of them.
"""

from __future__ import annotations

from app.api.route_table import RouteTable

REFUSED = "request"
"""The action of a request that was refused where its route is none of these."""
REFUSED_STATUSES = (401, 403, 421, 429)

ACTIONS: dict[str, tuple[str, ...]] = {
    "session.begin": ("POST /ui/sign-in",),
    "session.end": ("POST /ui/sign-out",),
    "dataset.create": ("POST /datasets", "POST /v1/files", "POST /ui/datasets"),
    "dataset.delete": (
        "DELETE /datasets/{dataset_id}",
        "DELETE /v1/files/{file_id}",
        "POST /ui/datasets/{dataset_id}",
    ),
    "dataset.export": ("GET /v1/files/{file_id}/content",),
    "tokenizer.create": ("POST /tokenizers",),
    "tokenizer.delete": ("DELETE /tokenizers/{name}",),
    "model.import": ("POST /models", "POST /models/upload"),
    "model.export": ("GET /models/{name}/export", "GET /models/{name}/download"),
    "model.load": ("POST /models/{name}/load",),
    "model.unload": ("POST /models/{name}/unload",),
    "model.change": ("POST /ui/models/{name}",),  # a form that loads, unloads or deletes
    "model.delete": ("DELETE /models/{name}", "DELETE /v1/models/{name:path}"),
    "job.create": ("POST /jobs", "POST /v1/fine_tuning/jobs"),
    "job.duplicate": ("POST /jobs/{job_id}/duplicate",),
    "job.cancel": ("POST /jobs/{job_id}/cancel", "POST /v1/fine_tuning/jobs/{job_id}/cancel"),
    "job.pause": ("POST /jobs/{job_id}/pause", "POST /v1/fine_tuning/jobs/{job_id}/pause"),
    "job.resume": ("POST /jobs/{job_id}/resume", "POST /v1/fine_tuning/jobs/{job_id}/resume"),
    "job.retry": ("POST /jobs/{job_id}/retry",),
    "job.change": ("PATCH /jobs/{job_id}",),
    "job.delete": ("DELETE /jobs/{job_id}",),
    "checkpoint.delete": ("DELETE /jobs/{job_id}/checkpoints/{step}",),
    "branch.create": ("POST /branches",),
    "branch.delete": ("DELETE /branches/{branch_id}",),
    "audit.read": ("GET /audit",),
}
MAKING = {"dataset.create", "tokenizer.create", "model.import", "job.create", "job.duplicate", "branch.create"}
"""Actions whose answer tells the id or name of what they made."""
_TABLE = RouteTable((line, action) for action, lines in ACTIONS.items() for line in lines)


def action_of(method: str, path: str) -> tuple[str, str | None] | None:
    """The action that a request is, and the id or name that its path gives; None where it is none of these."""
    found = _TABLE.find(method, path)
    if found is None:
        return None
    action, places = found
    return action, "@".join(places) or None
