"""The machine's memory: how much of it models may take, and giving back what is free."""

from __future__ import annotations

import ctypes
import gc

from app.services import machine


def default_budget() -> int:
    """Three quarters of the memory that this process may take, in bytes."""
    return machine.memory_bytes() * 3 // 4


def collect() -> None:
    """Free what nobody refers to, circles among it, and give its pages back. Takes a fifth of a second."""
    gc.collect()
    give_back()


def give_back() -> None:
    """Hand the heap's free pages to the system, where the C library can."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (OSError, AttributeError):  # only glibc keeps pages, and only it has this
        return
