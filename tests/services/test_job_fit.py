"""Where it is known what a job has to fit into."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Settings
from app.services import devices
from app.services.job_fit import runs_here


@pytest.mark.parametrize(
    ("device", "changes", "has_gpu", "here"),
    [
        ("auto", {}, False, True),
        ("cpu", {}, True, True),
        ("auto", {}, True, False),
        ("auto", {"worker_devices": "cpu"}, True, True),
        ("cuda", {}, False, False),
        ("cpu", {"broker_url": "redis://127.0.0.1/0"}, False, False),
    ],
)
def test_only_this_machines_cpu_is_judged(
    device: str, changes: dict[str, str], has_gpu: bool, here: bool, settings: Settings, monkeypatch
) -> None:
    monkeypatch.setattr(devices, "NVIDIA", (Path("/dev/null" if has_gpu else "/dev/no-such-device"),))
    assert runs_here(settings.model_copy(update=changes), device) is here
