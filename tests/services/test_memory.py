"""The memory that a process may take, in a container and outside; the heap's habits, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from app.services import memory

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


@pytest.mark.parametrize(("told", "usable"), [("max", None), ("1000000", 1_000_000), (None, None), ("9" * 19, None)])
def test_a_containers_limit_counts_where_it_is_the_lower_one(
    told: str | None, usable: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = tmp_path / "memory.max"
    if told is not None:
        limit.write_text(f"{told}\n")
    monkeypatch.setattr(memory, "CGROUP_LIMITS", (limit, tmp_path / "none"))
    assert memory.usable_bytes() == (usable or memory.machine_bytes())
