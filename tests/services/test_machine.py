"""Cores and memory of a process whose cgroup, or one around it, has a limit."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.config import Settings
from app.services import doctor, machine, memory

GIB = 1 << 30
Limit = Callable[[str, str, str], None]


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Sets a limit of a cgroup; this process is in `outer/inner`, on a machine of 64 cores and 64 GiB."""
    own = tmp_path / "own"
    own.write_text("1:name=systemd:/\n0::/outer/inner\n")
    monkeypatch.setattr(machine, "OWN", own)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    pages = {"SC_PHYS_PAGES": 64 * GIB // 4096, "SC_PAGE_SIZE": 4096}
    monkeypatch.setattr(os, "sysconf", pages.__getitem__)

    def set_limit(group: str, name: str, value: str) -> None:
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / name).write_text(f"{value}\n")

    return set_limit


def test_without_a_limit_the_machine_is_ours(limit: Limit) -> None:
    assert (machine.cores(), machine.memory_bytes()) == (64, 64 * GIB)
    limit("outer/inner", "cpu.max", "max 100000")
    limit("outer/inner", "memory.max", "max")
    assert (machine.cores(), machine.memory_bytes()) == (64, 64 * GIB)


@pytest.mark.parametrize("group", ["outer/inner", "outer", "."])
def test_the_smallest_limit_around_counts(limit: Limit, group: str) -> None:
    limit("outer/inner", "cpu.max", "6400000 100000")
    limit("outer/inner", "memory.max", str(100 * GIB))
    limit(group, "cpu.max", "150000 100000")
    limit(group, "memory.max", str(2 * GIB))
    assert (machine.cores(), machine.memory_bytes()) == (2, 2 * GIB)
    assert memory.default_budget() == 2 * GIB * 3 // 4


def test_less_than_a_core_is_one(limit: Limit) -> None:
    limit("outer", "cpu.max", "5000 100000")
    assert machine.cores() == 1


def test_a_process_that_is_held_to_some_cores(limit: Limit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7})
    assert machine.cores() == 2
    limit("outer", "cpu.max", "400000 100000")
    assert machine.cores() == 2


def test_where_there_are_no_cgroups(limit: Limit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    limit("outer", "memory.max", "1")
    monkeypatch.setattr(machine, "OWN", tmp_path / "nothing")
    assert machine.memory_bytes() == 64 * GIB


def test_doctor_looks_at_the_same(limit: Limit, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    limit("outer", "cpu.max", "200000 100000")
    limit("outer", "memory.max", str(2 * GIB))
    found = doctor.check_threads(settings)
    assert (found.status, found.told) == ("ok", "2 threads, 2 cores, load 0.0")
    told = doctor.check_memory(settings.model_copy(update={"model_memory_bytes": 4 * GIB}))
    assert (told.status, told.told) == ("warning", "4.0 GiB for models, of 2.0 GiB: more than there is")
