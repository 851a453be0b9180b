"""The whole service as a person starts it: `inkling up` on a free port and an empty data directory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Service:
    """A running `inkling up`; `url` is its address."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        """End it as Ctrl-C does; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(90)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_service(folder: Path, command: str = "up", **settings: str) -> Service:
    """Start `inkling up` (or `serve`) with its data under `folder` and wait until it is ready."""
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("INKLING_")}
    environment |= {f"INKLING_{name.upper()}": value for name, value in settings.items()}
    environment |= {"INKLING_PORT": str(port), "INKLING_DATA_DIR": str(folder / "data")}
    log = folder / f"{command}.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.cli", command],
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    service = Service(f"http://127.0.0.1:{port}", process, log)
    wait_until_ready(service)
    return service


def wait_until_ready(service: Service, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert service.process.poll() is None, service.log.read_text()
        try:
            if httpx.get(f"{service.url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    pytest.fail(f"not ready after {timeout_s} s:\n{service.log.read_text()}")


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, assets: Path) -> Iterator[Service]:
    """One service for all end-to-end tests that leave it as it was; ended as Ctrl-C does."""
    running = start_service(tmp_path_factory.mktemp("service"))
    yield running
    assert running.stop() == 0, running.log.read_text()
