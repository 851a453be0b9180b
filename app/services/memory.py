"""The machine's memory: how much of it models may take, and giving back what is free."""

from __future__ import annotations

import ctypes
import gc

from app.services import machine

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8  # of malloc.h
SHARED_HEAPS = 2


def default_budget() -> int:
    """Three quarters of the memory that this process may take, in bytes."""
    return machine.memory_bytes() * 3 // 4


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


def share_heaps() -> None:
    """Have all threads share a few heaps. Before there are threads; holds for the rest of the process.

    By default glibc makes eight for each core, and what a server's many threads free stays in each of them.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(_M_ARENA_MAX, SHARED_HEAPS)


def give_back() -> None:
    """Hand the heap's free pages to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # only glibc keeps pages, and only it has this
        return
