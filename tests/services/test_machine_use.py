"""What a trainer reads of its machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from app.services import machine_use
from app.services.machine_use import Gauge, resident_bytes

CPU = torch.device("cpu")


def test_a_share_is_the_speed_times_the_work_over_the_peak():
    use = Gauge(CPU, flops_per_token=2_000, peak_flops=1e6).read(tokens_per_s=100.0)
    assert use.peak_share == pytest.approx(0.2)
    assert use.device_memory_bytes is None
    assert Gauge(CPU, 2_000, 1e6).read(None).peak_share is None
    assert Gauge(CPU, None, None).read(100.0).peak_share is None


HOLDS = """
from app.services.machine_use import resident_bytes
before = resident_bytes()
held = b"1" * (64 << 20)
print(resident_bytes() - before, len(held))
"""


def test_memory_grows_with_what_is_held():
    """In a process of its own, where no other test's threads give memory back in the meantime."""
    told = subprocess.run([sys.executable, "-c", HOLDS], capture_output=True, text=True, check=True, timeout=120)
    grown, held = map(int, told.stdout.split())
    assert held == 64 << 20
    assert 60 << 20 < grown < 80 << 20


def test_a_system_that_does_not_tell_leaves_it_open(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(machine_use, "STATM", tmp_path / "none")
    assert resident_bytes() is None
