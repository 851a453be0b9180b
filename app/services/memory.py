"""The machine's memory: how much of it models may take, and giving back what is free."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""What a container may take, as the second and the first version of control groups tell it."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of malloc.h


def default_budget() -> int:
    """Three quarters of the machine's memory, in bytes."""
    return machine_bytes() * 3 // 4


def machine_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def usable_bytes() -> int:
    """The machine's memory, or as much of it as this container may take."""
    return min(machine_bytes(), *(_limit(path) for path in CGROUP_LIMITS))


def _limit(path: Path) -> int:
    try:
        told = path.read_text().strip()
    except OSError:  # no container, or one of the other version
        return machine_bytes()
    return int(told) if told.isdigit() else machine_bytes()  # else "max"


def collect() -> None:
    """Free what nobody refers to, circles among it, and give its pages back. Takes a fifth of a second."""
    gc.collect()
    give_back()


def keep_freed() -> None:
    """Have the heap keep what is freed, for the next step of a training asks for the same again.

    By default glibc gives every large block back to the system at once, and the new one costs a fault for each of its
    pages: a seventh of GPT-2's step in bfloat16. Holds for the rest of the process, whose memory shrinks no more.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(_M_MMAP_MAX, 0)
    mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def give_back() -> None:
    """Hand the heap's free pages to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # only glibc keeps pages, and only it has this
        return
