"""What is known of routes by their lines: the exact ones, those with places, and nothing of others."""

from __future__ import annotations

import pytest

from app.api.route_table import RouteTable

TABLE = RouteTable(
    [("GET /jobs", 1), ("POST /jobs/{job_id}/cancel", 2), ("DELETE /jobs/{job_id}/checkpoints/{step}", 3),
     ("DELETE /v1/models/{name:path}", 4)]
)  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "found"),
    [
        ("GET", "/jobs", (1, [])),
        ("POST", "/jobs/job_1/cancel", (2, ["job_1"])),
        ("DELETE", "/jobs/job_1/checkpoints/5", (3, ["job_1", "5"])),
        ("DELETE", "/v1/models/a/b", (4, ["a/b"])),
        ("POST", "/jobs", None),
        ("GET", "/jobs/", None),
        ("POST", "/jobs/job_1/cancel/", None),
        ("POST", "/jobs/a/b/cancel", None),
        ("POST", "//jobs", None),
        ("POST", "", None),
    ],
)
def test_a_request_finds_its_line(method: str, path: str, found: object) -> None:
    assert TABLE.find(method, path) == found
