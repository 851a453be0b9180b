"""Mixed traffic of 32 clients on a running service: no request fails, and its memory stays what it is.

A minute in each run of the tests; `make proof-load` takes ten.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import start_service
from tests.e2e.full_house import furnish
from tests.proofs import Proof, table
from workers.descendants import started_by

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("INKLING_TEST_LOAD") == "full"  # set by `make proof-load`
CLIENTS = 32
SECONDS, FIRST_S = (600, 60) if FULL else (50, 25)
MEANS_S = 10
GROWTH = 0.05 if FULL else 0.1
"""Of memory, from then on. In the first minute what every kind of request needs once is still being taken."""


@dataclass(frozen=True)
class Sample:
    """Resident bytes of all processes of a service, so many seconds after the clients began."""

    at_s: float
    resident: int


@pytest.mark.e2e
@pytest.mark.timeout(1200 if FULL else 300)
def test_no_request_fails_and_memory_is_flat(tmp_path: Path, kernels: Path) -> None:
    pytest.importorskip("pytest_locust", reason="needs `make proof-tools`")  # locust itself would patch this process
    proof = Proof()
    settings, _ = furnish(tmp_path)
    service = start_service(tmp_path, **settings)
    try:
        told, samples = load(service.url, service.process.pid, tmp_path)
    finally:
        assert service.stop() == 0
    assert sum(each["num_failures"] for each in told) == 0
    assert sum(each["num_requests"] for each in told) > (5 * SECONDS if FULL else CLIENTS)
    first, last = mean(samples, FIRST_S), mean(samples, SECONDS)
    assert last < first * (1 + GROWTH), samples[:: len(samples) // 20]
    if FULL:
        record(proof, told, first, last, max(each.resident for each in samples))


def load(url: str, pid: int, folder: Path) -> tuple[list[dict[str, Any]], list[Sample]]:
    """Have the clients ask; what locust counted of each request, and the service's memory meanwhile."""
    command = [
        sys.executable, "-W", "ignore", "-m", "locust", "--locustfile", str(ROOT / "tests/load/traffic.py"),
        "--users", str(CLIENTS), "--spawn-rate", str(CLIENTS), "--run-time", f"{SECONDS}s", "--stop-timeout", "30",
        "--host", url, "--headless", "--json", "--only-summary",
    ]  # fmt: skip
    samples = []
    with (folder / "locust.json").open("wb") as output, (folder / "locust.log").open("wb") as log:
        started = time.monotonic()
        clients = subprocess.Popen(command, cwd=folder, stdout=output, stderr=log)
        while clients.poll() is None:
            samples.append(Sample(time.monotonic() - started, resident(pid)))
            time.sleep(1)
    assert clients.returncode == 0, (folder / "locust.log").read_text()[-5000:]
    told: list[dict[str, Any]] = json.loads((folder / "locust.json").read_text())
    return told, samples


def resident(pid: int) -> int:
    pages = 0
    for each in (pid, *started_by(pid)):
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
    return pages * os.sysconf("SC_PAGE_SIZE")


def mean(samples: list[Sample], end_s: int) -> float:
    """Of the seconds before one."""
    found = [each.resident for each in samples if end_s - MEANS_S <= each.at_s <= end_s]
    return sum(found) / len(found)


def record(proof: Proof, told: list[dict[str, Any]], first: float, last: float, most: int) -> None:
    asked = sum(each["num_requests"] for each in told)
    what = (
        f"`make proof-load`: {CLIENTS} clients of locust for {SECONDS // 60} minutes on loopback, `inkling up` with "
        f"small models on the same cores: {asked:,} requests, {asked / SECONDS:.0f} a second, none failed. Resident "
        f"memory of all its processes: {first / 1e6:.0f} MB at the end of the first minute, {last / 1e6:.0f} MB at the "
        f"end ({100 * (last / first - 1):+.1f} %), {most / 1e6:.0f} MB at most."
    )
    rows = []
    for each in sorted(told, key=lambda each: str(each["name"])):
        milliseconds = each["total_response_time"] / each["num_requests"]
        rows.append((each["name"], f"{each['num_requests']:,}", each["num_failures"], f"{milliseconds:.0f}"))
    proof.record("load", what, table(("request", "count", "failed", "mean, ms"), rows))
