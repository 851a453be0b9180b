"""The README's tour, command by command, as a newcomer types it; each answer is what the README says."""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import ROOT, Service

pytestmark = pytest.mark.e2e

ADDRESS = "http://127.0.0.1:8000"
LONG_RUN = '"max_steps": 60'  # the second run takes minutes: here it is begun, followed to a step, and cancelled


@dataclass
class Step:
    command: str
    expected: Any | None


def tour() -> list[Step]:
    """The blocks between `## A tour with curl` and the next heading: a command, and the answer if one is shown."""
    text = (ROOT / "README.md").read_text().split("## A tour with curl")[1].split("\n## ")[0]
    steps: list[Step] = []
    for language, body in re.findall(r"```(sh|json)\n(.*?)```", text, re.DOTALL):
        if language == "sh":
            steps.append(Step(body, None))
        else:
            steps[-1].expected = json.loads(body)
    return steps


def holds(shown: Any, answered: Any) -> bool:
    """What is shown stands in the answer; "…" stands for anything, at the end of a list for the rest of it."""
    if shown == "…":
        return True
    if isinstance(shown, dict):
        return isinstance(answered, dict) and all(k in answered and holds(v, answered[k]) for k, v in shown.items())
    if isinstance(shown, list):
        if shown and shown[-1] == "…":
            return len(answered) >= len(shown) and all(map(holds, shown[:-1], answered))
        return len(shown) == len(answered) and all(map(holds, shown, answered))
    return bool(shown == answered)


def test_the_comparison_can_fail() -> None:
    assert holds({"a": [1, "…"]}, {"a": [1, 2, 3], "b": 4})
    assert not holds({"a": [2, "…"]}, {"a": [1, 2, 3]})
    assert not holds({"a": 1}, {"b": 1})
    assert not holds([1], [1, 2])


def test_the_tour(service: Service, tmp_path: Path) -> None:
    (tmp_path / "samples").symlink_to(ROOT / "samples")
    steps = tour()
    assert len(steps) >= 7
    environment = os.environ | {"HOME": str(tmp_path)}
    for step in steps:
        if LONG_RUN in step.command:
            second_run_gets_going(service, json.loads(run(step.command, service, tmp_path, environment)))
            continue
        output = run(step.command, service, tmp_path, environment)
        if "JOB=" in step.command:
            assert '"succeeded"' in output.splitlines()[-2] or "succeeded" in output[-2000:]
        if step.expected is not None:
            answered = json.loads(output)
            assert holds(step.expected, answered), f"{step.command}\n{json.dumps(answered)[:2000]}"
    models = httpx.get(f"{service.url}/models").json()["data"]
    assert "tide" in [model["name"] for model in models]


def run(command: str, service: Service, folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.replace(ADDRESS, service.url)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def second_run_gets_going(service: Service, job: dict[str, Any]) -> None:
    """It is queued as the README says, reaches its second step, and can be cancelled."""
    assert job["status"] == "queued"
    with httpx.stream(
        "GET", f"{service.url}/jobs/{job['id']}/events", headers={"accept": "text/event-stream"}, timeout=200
    ) as events:
        for line in events.iter_lines():
            if line.startswith("data:") and '"type":"metrics"' in line and '"step":2' in line:
                break
    httpx.post(f"{service.url}/jobs/{job['id']}/cancel").raise_for_status()
