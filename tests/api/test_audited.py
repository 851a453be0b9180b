"""The table of what the audit log tells: every route that changes something is in it, or is said here not to be."""

from __future__ import annotations

from app.api import audited
from app.config import Settings
from app.main import create_app
from tests.routes import ways

SAID_OR_ASKED = {
    "POST /tokenize", "POST /encode", "POST /decode", "POST /detokenize", "POST /tokenizers/report", "POST /windows",
    "POST /embeddings", "POST /embeddings/analogy", "POST /inspect", "POST /classify", "POST /generate",
    "POST /v1/completions", "POST /v1/chat/completions", "POST /v1/embeddings", "POST /ui/generate",
    "POST /jobs/estimate", "POST /jobs/preview", "POST /ui/learn/{chapter}/{step}",
}  # fmt: skip
"""Nothing is kept of them."""


def _lines(settings: Settings) -> set[str]:
    return {way.line.replace(":path}", "}") for way in ways(create_app(settings))}


def test_each_route_that_changes_something_is_told(settings: Settings) -> None:
    remote = settings.model_copy(update={"generation_backend": "http://127.0.0.1:9"})
    lines = _lines(settings) | _lines(remote)
    told = [line.replace(":path}", "}") for group in audited.ACTIONS.values() for line in group]
    assert len(told) == len(set(told))
    assert set(told) <= lines
    changing = {line for line in lines if line.split()[0] not in ("GET", "HEAD") and "/lessons/" not in line}
    assert changing - set(told) == SAID_OR_ASKED
    assert set(audited.ACTIONS) >= audited.MAKING


def test_the_path_tells_what_it_is_done_to() -> None:
    assert audited.action_of("POST", "/jobs/job_1/cancel") == ("job.cancel", "job_1")
    assert audited.action_of("DELETE", "/jobs/job_1/checkpoints/5") == ("checkpoint.delete", "job_1@5")
    assert audited.action_of("DELETE", "/v1/models/base:own") == ("model.delete", "base:own")
    assert audited.action_of("POST", "/jobs") == ("job.create", None)
    assert audited.action_of("POST", "/generate") is None
