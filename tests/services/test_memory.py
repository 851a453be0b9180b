"""The heap's habits, in processes of their own: they hold for a whole process."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MEASURE = """
import json, resource
from app.services.memory import give_back, keep_freed
if {keep}:
    keep_freed()
block = bytearray(64 << 20)
del block
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
block = bytearray(64 << 20)
block[:: 1 << 12] = bytes(len(block) >> 12)
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before))
"""


def faults(keep: bool) -> int:
    command = [sys.executable, "-c", MEASURE.format(keep=keep)]
    return int(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc's heap")
def test_a_heap_that_keeps_what_is_freed_pays_no_page_faults_for_it_again():
    assert faults(keep=False) > 5_000  # 16,384 pages of 4 kB
    assert faults(keep=True) < 500


HEAPS = """
import ctypes, threading
from app.services.memory import share_heaps
if {share}:
    share_heaps()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(16)
def take():
    together.wait()
    libc.malloc(1 << 12)
    together.wait()
threads = [threading.Thread(target=take) for _ in range(16)]
for each in threads: each.start()
for each in threads: each.join()
libc.fdopen.restype = ctypes.c_void_p
libc.malloc_info(0, ctypes.c_void_p(libc.fdopen(1, b"w")))
libc.fflush(None)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc's heap")
@pytest.mark.parametrize("share", [False, True])
def test_threads_that_share_heaps_have_few(share: bool) -> None:
    command = [sys.executable, "-c", HEAPS.format(share=share)]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert (told.count("<heap nr=") <= 2) == share
