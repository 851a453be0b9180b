"""Servers that a benchmark starts on a free port, waits for, and ends."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx


@contextmanager
def started(command: str, **settings: str) -> Iterator[tuple[str, int]]:
    """The address and the process of `inkling serve`, or `up`, that is ready, on an empty data directory."""
    port = free_port()
    with tempfile.TemporaryDirectory() as data:
        environment = os.environ | {"INKLING_DATA_DIR": data, "INKLING_PORT": str(port)} | settings
        url = f"http://127.0.0.1:{port}"
        with running([sys.executable, "-m", "app.cli", command], url, "/readyz", environment) as pid:
            yield url, pid


@contextmanager
def running(command: list[str], url: str, ready: str, environment: dict[str, str]) -> Iterator[int]:
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            until = time.monotonic() + 120
            while not answers(url + ready):
                assert process.poll() is None, f"{command[0]} ended"
                assert time.monotonic() < until, f"{command[0]} does not answer"
                time.sleep(0.2)
            yield process.pid
        finally:
            process.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
