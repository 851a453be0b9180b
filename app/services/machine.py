"""What this process may use of the machine: cores and memory, by its affinity and its cgroup (version 2).

In a container the machine's own numbers are the host's: as many threads as that has cores wait for each other, and a
budget by its memory ends in the kernel's hands.
"""

from __future__ import annotations

import math
import os
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")


def cores() -> int:
    """How many cores this process may keep busy, at least 1."""
    seen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    shares = [int(quota) / int(period) for quota, period in map(str.split, _limits("cpu.max")) if quota != "max"]
    return max(1, min(seen, *(math.ceil(share) for share in shares))) if shares else seen


def memory_bytes() -> int:
    """How much memory this process may take."""
    there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([there, *(int(limit) for limit in _limits("memory.max") if limit != "max")])


def _limits(name: str) -> list[str]:
    """What the file `name` says in this process's cgroup and those around it; nothing where there are none."""
    try:
        own = next(line[3:] for line in OWN.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):  # not Linux, or version 1
        return []
    group = CGROUPS / own.lstrip("/")
    groups = [each for each in (group, *group.parents) if each.is_relative_to(CGROUPS)]
    return [file.read_text().strip() for each in groups if (file := each / name).is_file()]
