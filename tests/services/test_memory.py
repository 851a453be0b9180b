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
