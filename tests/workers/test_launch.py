"""How trainers are started and ended: by commands that only wait."""

from __future__ import annotations

import sys
import time

import pytest

from app.services.hosts import Hosts
from app.services.leases import Claim
from tests.process_tree import command, is_alive, started_by
from workers import launch

WAITS = "import time; time.sleep(600)"
STARTS_OTHERS = f"""
import subprocess, sys
for _ in range(2):
    subprocess.Popen([sys.executable, "-c", {WAITS!r}], start_new_session=True)
{WAITS}
"""


def test_killing_a_trainer_ends_what_it_started_in_sessions_of_their_own() -> None:
    trainer = launch.start((sys.executable, "-c", STARTS_OTHERS), Claim("job_1", 1, 1, lease_until=0.0))
    deadline = time.monotonic() + 30
    while len(others := started_by(trainer.pid)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    launch.kill(trainer)
    assert trainer.returncode == -9
    while any(is_alive(pid) for pid in others):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    launch.kill(trainer)  # that it ended already is no error
    assert trainer.stdin is not None
    trainer.stdin.close()


def test_torchrun_of_a_machine_among_several_has_its_share_and_the_attempts_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(launch, "TORCHRUN", ("-c", WAITS))
    claim = Claim("job_1", 7, 1, lease_until=0.0, devices=5, hosts=Hosts("10.0.0.5:29400", 2, 1))
    trainer = launch.start((sys.executable, "-c", WAITS), claim)
    deadline = time.monotonic() + 30
    while "job_1 7" not in (told := command(trainer.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert "--nnodes 2 --node-rank 1 --rdzv-backend static --rdzv-endpoint 10.0.0.5:29400 --rdzv-id job_1-7 " in told
    assert "--nproc-per-node 2 " in told
    launch.kill(trainer)
    assert trainer.stdin is not None
    trainer.stdin.close()


@pytest.mark.parametrize("devices", [1, 3])
def test_torchrun_starts_the_trainers_of_several_devices(monkeypatch: pytest.MonkeyPatch, devices: int) -> None:
    monkeypatch.setattr(launch, "TORCHRUN", ("-c", WAITS))
    trainer = launch.start((sys.executable, "-c", WAITS), Claim("job_1", 7, 1, lease_until=0.0, devices=devices))
    deadline = time.monotonic() + 30
    while "job_1" not in (told := command(trainer.pid)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert told.endswith("job_1 7")
    assert ("--nproc-per-node 3" in told) is (devices == 3)
    launch.kill(trainer)
    assert trainer.stdin is not None
    trainer.stdin.close()


def test_a_trainer_is_told_of_its_workers_span_where_there_is_one() -> None:
    span = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    told = {}
    for traceparent in (None, span):
        trainer = launch.start((sys.executable, "-c", WAITS), Claim("job_1", 7, 1, lease_until=0.0), traceparent)
        told[traceparent] = command(trainer.pid)
        launch.kill(trainer)
        assert trainer.stdin is not None
        trainer.stdin.close()
    assert told[None].endswith(" job_1 7")
    assert told[span].endswith(f" job_1 7 --traceparent {span}")
