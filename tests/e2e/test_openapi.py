"""The OpenAPI document against a running service: schemathesis, with all its checks and what it makes go together.

The service has no worker, or a job by chance would train for hours; ended jobs are there from before. `make proof-api`
asks twenty thousand times and more.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import start_service
from tests.e2e.full_house import empty_hub, furnish
from tests.proofs import Proof, table
from tests.serving import served

ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("INKLING_TEST_API") == "full"  # set by `make proof-api`
LEAST = 20_000
RUNS = (
    [("examples,coverage", 1200), ("fuzzing", 400), ("stateful", 400)]
    if FULL
    else [("examples,fuzzing", 30), ("stateful", 20)]
)


@pytest.mark.e2e
@pytest.mark.timeout(3000 if FULL else 300)
def test_the_document_holds_whatever_is_asked(tmp_path: Path, kernels: Path) -> None:
    pytest.importorskip("schemathesis", reason="needs `make proof-tools`")
    proof = Proof()
    settings, known = furnish(tmp_path)
    names = tmp_path / "names.json"
    names.write_text(json.dumps(known))
    with served(empty_hub()) as hub:
        logs = {
            "log_format": "json",
            "log_level": "debug",
            "fetch_private_addresses": "true",
        }  # a line for each request
        service = start_service(tmp_path, "serve", hub_url=f"http://127.0.0.1:{hub}", **logs, **settings)
        try:
            reports = []
            for number, (phases, seconds) in enumerate(runs(service.log)):
                reports.append((phases, attack(service.url, names, tmp_path / f"report-{number}", phases, seconds)))
        finally:
            assert service.stop() == 0
    assert told(service.log, "unexpected_error") == 0
    asked = told(service.log, "request")
    assert asked > 500
    if FULL:
        record(proof, asked, reports)


def told(log: Path, event: str) -> int:
    """How many lines of a log are of an event."""
    lines = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return sum(line["event"] == event for line in lines)


def runs(log: Path) -> Iterator[tuple[str, int]]:
    """Phases with the seconds that they may take; by hand, the last once more until enough was asked."""
    yield from RUNS
    while FULL and told(log, "request") < LEAST:
        yield RUNS[-1]


def attack(url: str, names: Path, folder: Path, phases: str, seconds: int) -> dict[str, Any]:
    """Run some phases of schemathesis; its report."""
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", str(Path(__file__).with_name("schemathesis.toml")),
        "run", f"{url}/openapi.json", "--phases", phases, "--max-time", str(seconds),
        "--continue-on-failure", "--no-shrink", "--request-timeout", "60", "--no-color",
        "--report", "json", "--report-dir", str(folder),
    ]  # fmt: skip
    environment = os.environ | {"INKLING_TEST_NAMES": str(names), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=folder.parent, capture_output=True, text=True, check=False)
    said = done.stdout[-20_000:] + done.stderr[-2000:]
    assert done.returncode == 0, said
    (report,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(report.read_text())
    assert found["test_cases"]["with_failures"] == found["test_cases"]["errored"] == 0, said
    assert found["test_cases"]["generated"] > 0
    return found


def record(proof: Proof, asked: int, reports: list[tuple[str, dict[str, Any]]]) -> None:
    what = (
        "`make proof-api`: schemathesis over the whole OpenAPI document, all checks, links included, against `inkling "
        "serve` with models, datasets and ended jobs, and no worker. No server error, no status, type or body that the "
        f"document does not tell of; {asked:,} requests."
    )
    rows = [
        (
            phases,
            f"{found['test_cases']['generated']:,}",
            found["test_cases"]["with_failures"],
            found["operations"]["tested"],
        )
        for phases, found in reports
    ]
    proof.record("api", what, table(("phases", "cases", "with failures", "operations"), rows))
