"""What `inkling datasets pull` brings is trained on by the commands that it names, in a real service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.services import public_sets
from app.services.public_sets import SETS
from tests.e2e.conftest import ROOT, Service, start_service
from tests.fake_sets import filled, real_content
from tests.serving import served

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    running = start_service(tmp_path_factory.mktemp("public-sets"))
    yield running
    assert running.stop() == 0, running.log.read_text()


@pytest.fixture(scope="module")
def mirror(shared_file: Callable[[str], Path]) -> Iterator[str]:
    with served(filled(SETS, real_content(shared_file)).app()) as port:
        yield f"http://127.0.0.1:{port}/mirror"


def inkling(started: Service, *words: str) -> Any:
    """The JSON that a command prints."""
    command = [sys.executable, "-m", "app.cli", *words, "--url", started.url, "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
    environment["INKLING_FETCH_PRIVATE_ADDRESSES"] = "true"  # the mirror is on this machine
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def small(started: Service) -> str:
    """The name of a network that reads as many tokens as the longest row has, after one step."""
    network = {"preset": "gpt-tiny", "context_length": 512}
    body = {"recipe": "pretrain", "dataset": "the-tide-clock", "model": network, "name": "small", "validation": 0.0}
    job = httpx.post(f"{started.url}/jobs", json=body | {"train": {"max_steps": 1, "batch_size": 2}}).json()
    assert inkling(started, "jobs", job["id"], "--follow")["status"] == "succeeded"
    return "small"


def pulled(started: Service, name: str, mirror: str) -> Any:
    dataset = inkling(started, "datasets", "pull", name, "--mirror", mirror)
    assert dataset["report"]["bad_rows"] == 0
    return dataset


def test_messages_make_a_classifier(started: Service, mirror: str) -> None:
    dataset = pulled(started, "sms-spam", mirror)
    assert dataset["rows"] == 5572
    words = ("--preset", "gpt-tiny", "--name", "spam", "--balanced", "--steps", "2", "--test", "0.1")
    assert inkling(started, "train", "classify", "--dataset", dataset["id"], *words)["status"] == "succeeded"
    assert inkling(started, "classify", "spam", "WIN a prize")["data"][0]["label"] in ("ham", "spam")


@pytest.mark.parametrize(("name", "rows"), [("instructions", 1100), ("preferences", 1094)])
def test_records_teach_a_model(started: Service, mirror: str, small: str, name: str, rows: int) -> None:
    dataset = pulled(started, name, mirror)
    assert dataset["rows"] == rows
    words = ("--base", small, "--steps", "2", "--set", "batch_size=2", "--validation", "0.01")
    job = inkling(started, "train", public_sets.named(name).recipe, "--dataset", dataset["id"], *words)
    assert (job["status"], job["error"]) == ("succeeded", None)
