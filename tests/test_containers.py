"""The container files, as far as they can be judged without an engine; tests/e2e/compose_smoke.sh runs the stack."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = ("web", "worker", "worker-gpu")


def test_the_compose_file_keeps_to_the_specification() -> None:
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    result = subprocess.run([*check, ROOT / "docker-compose.yml"], check=False, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("name", COMPOSE["services"])
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    ports = COMPOSE["services"][name].get("ports", [])
    assert all(str(port).startswith("127.0.0.1:") for port in ports)
    assert bool(ports) == (name in ("web", "grafana"))


@pytest.mark.parametrize("name", OURS)
def test_web_and_workers_are_one_service_with_two_commands(name: str) -> None:
    service = COMPOSE["services"][name]
    shared = COMPOSE["x-inkling"]
    assert service["command"] == ["inkling", "serve" if name == "web" else "worker"]
    assert service["environment"] == shared["environment"]
    assert (service["read_only"], service["cap_drop"], service["volumes"]) == (True, ["ALL"], ["data:/data"])


def test_what_the_stack_fixes_is_a_setting() -> None:
    settings = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in COMPOSE["x-inkling"]["environment"] if f"`{name}`" not in settings] == []


def test_every_variable_of_the_stack_is_documented() -> None:
    text = (ROOT / "docs" / "containers.md").read_text()
    variables = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert [name for name in sorted(variables) if f"`{name}`" not in text] == []


def test_the_image_runs_as_no_root() -> None:
    users = re.findall(r"^USER (\w+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert users[-1:] == ["inkling"]
