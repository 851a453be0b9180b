"""What a machine can train on, and which jobs run there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from app.config import Settings
from app.services import devices


@pytest.mark.parametrize(
    ("wanted", "printed", "found"),
    [
        ("auto", "2", {"cpu": 1, "cuda": 2}),
        ("auto", "0", {"cpu": 1}),
        ("auto", "no number", {"cpu": 1}),
        ("cuda", "1", {"cuda": 1}),
        ("cuda", "0", {}),
        ("cpu", "2", {"cpu": 1}),
    ],
)
def test_what_is_found_where_there_is_a_driver(settings, monkeypatch, tmp_path: Path, wanted, printed, found):
    monkeypatch.setattr(devices, "NVIDIA", (tmp_path,))
    monkeypatch.setattr(devices, "ASK", (sys.executable, "-c", f"print({printed!r})"))
    assert devices.found(settings.model_copy(update={"worker_devices": wanted})) == found


def test_where_there_is_no_driver_nobody_is_asked(settings: Settings, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(devices, "NVIDIA", (tmp_path / "none",))
    monkeypatch.setattr(devices, "ASK", ("/no/such/program",))
    assert devices.found(settings) == {"cpu": 1}


def test_on_the_cpu_there_are_as_many_as_the_settings_say(settings: Settings):
    chosen = settings.model_copy(update={"worker_devices": "cpu", "cpu_devices": 3})
    assert devices.found(chosen) == {"cpu": 3}


@pytest.mark.parametrize(
    ("device", "count", "runs"),
    [("auto", 1, True), ("cpu", 1, True), ("cuda", 2, True), ("cuda", 3, False), ("cpu", 2, False)],
)
def test_which_jobs_run_there(device, count, runs):
    assert devices.can_run({"cpu": 1, "cuda": 2}, device, count) is runs
    assert not devices.can_run({}, device, count)
