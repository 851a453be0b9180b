"""`inkling up` and `serve` as processes: what they refuse to start on, and how they end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.cli import processes
from app.cli.processes import WorkerProcess
from tests.cli.conftest import Command
from tests.e2e.conftest import start_service
from tests.process_tree import is_alive


def until(what: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("command", ["up", "serve"])
def test_a_taken_port_is_one_line(inkling: Command, command: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        refusal = inkling(command, "--port", str(port)).refusal
    assert refusal.startswith(f"cannot listen on 127.0.0.1 port {port}: ")
    assert "--port or INKLING_PORT" in refusal


def test_a_host_of_another_machine_is_one_line(inkling: Command) -> None:
    assert inkling("serve", "--host", "192.0.2.1").refusal.startswith("cannot listen on 192.0.2.1 port 8000: ")
    assert "no address of this machine" in inkling("serve", "--host", "no host").refusal


@pytest.mark.parametrize("command", [("up",), ("serve",), ("worker",), ("models",), ("tokenize", "hi", "--local")])
def test_a_setting_that_cannot_be_read_is_one_line(
    inkling: Command, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("INKLING_PORT", "abc")
    assert inkling(*command).refusal.startswith("INKLING_PORT is 'abc': ")


@pytest.mark.parametrize("command", ["up", "serve", "worker"])
def test_traces_without_what_sends_them_are_one_line(
    inkling: Command, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("INKLING_OTLP_ENDPOINT", "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk", None)  # as where the extra is not installed
    refusal = inkling(command).refusal
    assert refusal.startswith("INKLING_OTLP_ENDPOINT asks for traces, and what sends them is not installed; ")
    assert "-e '.[traces]'" in refusal


@pytest.mark.e2e
def test_sigterm_ends_the_server_as_ctrl_c_does(tmp_path: Path, assets: Path) -> None:
    service = start_service(tmp_path, "serve")
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0, service.log.read_text()
    assert f"Inkling is at {service.url} " in service.log.read_text()
    assert "Traceback" not in service.log.read_text()


@pytest.fixture
def worker(inkling: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> WorkerProcess:
    """A worker beside this process, on the embedded default (`inkling` sees to the settings)."""
    monkeypatch.setenv("INKLING_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(processes, "RESTART_AFTER_S", 0.05)
    return WorkerProcess()


def running(worker: WorkerProcess) -> subprocess.Popen[bytes]:
    assert worker._process is not None
    return worker._process


def test_a_worker_that_dies_is_started_again_and_one_that_is_stopped_is_not(worker: WorkerProcess) -> None:
    worker.start()
    first = running(worker)
    os.kill(first.pid, signal.SIGKILL)
    second = until(lambda: running(worker) is not first and running(worker))
    until(lambda: is_alive(second.pid))
    worker.stop()
    assert not is_alive(second.pid)
    worker._keeper.join(10)
    assert running(worker) is second
    assert first.stdin is not None
    assert first.stdin.closed


def test_a_worker_that_does_not_end_is_ended(worker: WorkerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "QUIET_S", 0.05)
    monkeypatch.setattr(processes, "WORKER_GRACE_S", 0.05)
    worker.start()
    process = running(worker)
    os.kill(process.pid, signal.SIGSTOP)
    worker.stop()
    assert process.returncode == -signal.SIGKILL
