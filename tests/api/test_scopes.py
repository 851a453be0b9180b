"""The table of scopes: every route that changes something has its line, and no line is of a route that is gone."""

from __future__ import annotations

import pytest

from app.api import scopes
from app.config import Settings
from app.main import create_app
from tests.routes import mounts, ways


@pytest.fixture
def lines(settings: Settings) -> set[str]:
    """All routes, those of a remote backend among them."""
    remote = settings.model_copy(update={"generation_backend": "http://127.0.0.1:9"})
    return {_plain(way.line) for chosen in (settings, remote) for way in ways(create_app(chosen))}


def _plain(line: str) -> str:
    return line.replace(":path}", "}")


def declared() -> list[str]:
    return [_plain(line) for group in scopes.SCOPES.values() for line in group]


def test_each_route_that_changes_something_has_a_line(lines: set[str]) -> None:
    changing = {line for line in lines if line.split()[0] not in ("GET", "HEAD")}
    lessons = {line for line in changing if line.startswith("POST /lessons/")}
    assert lessons
    read_by_admins = {line for line in declared() if line.startswith("GET ")}
    assert read_by_admins < lines
    assert changing - lessons - set(scopes.OPEN) == set(declared()) - {"POST /lessons/{route}"} - read_by_admins
    assert len(declared()) == len(set(declared()))


def test_what_is_open_is_there(lines: set[str], settings: Settings) -> None:
    assert set(scopes.OPEN) <= lines
    assert all(f"{path}/".startswith(scopes.OPEN_UNDER) for path in mounts(create_app(settings)))


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/healthz", None),
        ("GET", "/static/js/api.js", None),
        ("GET", "/ui/sign-in", None),
        ("POST", "/ui/sign-in", None),
        ("POST", "/ui/sign-in/", "admin"),
        ("POST", "/ui/sign-out", "read"),
        ("GET", "/static", "read"),
        ("GET", "/healthz/", "read"),
        ("GET", "/metrics", "metrics"),
        ("HEAD", "/metrics", "metrics"),
        ("GET", "/audit", "admin"),
        ("HEAD", "/openapi.json", "read"),
        ("POST", "/static/x", "admin"),
        ("POST", "/healthz", "admin"),
        ("POST", "/jobs/job_1/cancel", "train"),
        ("POST", "/jobs/job_1/cancel/", "admin"),
        ("POST", "/jobs/a/b/cancel", "admin"),
        ("POST", "//jobs", "admin"),
        ("POST", "/jobs\n", "admin"),
        ("PATCH", "/jobs/job_1", "train"),
        ("DELETE", "/branches/b", "generate"),
        ("POST", "/lessons/split", "generate"),
        ("OPTIONS", "/jobs", "admin"),
        ("PUT", "/nowhere", "admin"),
    ],
)
def test_a_request_needs(method: str, path: str, scope: str | None) -> None:
    assert scopes.needed(method, path) == scope
