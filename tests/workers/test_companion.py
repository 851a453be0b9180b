"""Jobs of two machines: a worker and a companion, each with a `torchrun` of its own, that meet on 127.0.0.1."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.config import Settings
from app.db.session import Database
from app.services.devices import found
from app.services.hosts import Hosts
from tests.process_tree import is_alive, started_by
from tests.services.test_training import House, equal, house_on
from workers.supervise import Supervisor

ROOT = Path(__file__).resolve().parents[2]
TRAIN = {"max_steps": 60, "batch_size": 4, "eval_every": 30, "sample_every": 60, "checkpoint_every": 10}


class Machines:
    """The first one's supervisor in this process, and companions in others."""

    def __init__(self, house: House, settings: Settings) -> None:
        self.house, self.settings = house, settings
        self.first = Supervisor(settings, house.database)
        self._companions: list[subprocess.Popen[bytes]] = []

    def companion(self) -> subprocess.Popen[bytes]:
        """Start one, and wait until the first knows of it."""
        started = subprocess.Popen(
            [sys.executable, "-m", "workers.companion"], env=os.environ | {"INKLING_NODE_RANK": "1"}, cwd=ROOT
        )
        self._companions.append(started)
        self.until(lambda: self.first.devices == {"cpu": 2})
        return started

    def until(self, is_so: Callable[[], bool], timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def run(self, job_id: str) -> None:
        """Run what is queued, as the nudges of a broker would have it, until the job has ended."""

        def has_ended() -> bool:
            self.first.run_queued()
            return self.house.row(job_id).status not in ("queued", "running")

        self.until(has_ended)

    def close(self) -> None:
        for one in self._companions:
            kill_with_others(one)


def kill_with_others(process: subprocess.Popen[bytes]) -> None:
    """As when a machine is switched off."""
    others = started_by(process.pid)
    process.kill()
    process.wait()
    for pid in others:
        if is_alive(pid):
            os.kill(pid, 9)


def a_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def machines(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machines]:
    chosen = settings.model_copy(
        update={
            "cpu_devices": 1,
            "train_threads": 1,
            "lease_s": 6.0,
            "train_hosts": 2,
            "rendezvous": f"127.0.0.1:{a_free_port()}",
        }
    )
    for name in ("data_dir", "assets_dir", "cpu_devices", "train_threads", "lease_s", "train_hosts", "rendezvous"):
        monkeypatch.setenv(f"INKLING_{name.upper()}", str(getattr(chosen, name)))
    monkeypatch.setenv("INKLING_DATABASE_URL", database.url.render_as_string(hide_password=False))
    for house in house_on(chosen, database):
        made = Machines(house, chosen)
        yield made
        made.close()


def test_two_machines_learn_what_two_processes_of_one_do(machines: Machines) -> None:
    house = machines.house
    machines.companion()
    apart = house.job(TRAIN, devices=2, name="apart")
    machines.run(apart)
    assert house.row(apart).status == "succeeded", house.row(apart).error
    workers = [row.data["worker"] for row in house.events(apart, "status") if "worker" in row.data]
    assert [name.endswith(machines.settings.rendezvous) for name in workers] == [True]
    start = next(row for row in house.events(apart, "message") if "weights for" in row.message)
    assert start.data["devices"] == 2

    alone = machines.settings.model_copy(update={"train_hosts": 1, "cpu_devices": 2})
    machines.first = Supervisor(alone, house.database)
    beside = house.job(TRAIN, devices=2, name="beside")
    machines.run(beside)
    assert [row.loss for row in house.metrics(apart)] == [row.loss for row in house.metrics(beside)]
    assert equal(house.weights("apart"), house.weights("beside"))


def test_a_machine_that_dies_costs_the_job_no_more_than_the_way_back_to_its_checkpoint(machines: Machines) -> None:
    house = machines.house
    first = machines.companion()
    job_id = house.job(TRAIN | {"max_steps": 120}, devices=2)

    def switch_off() -> None:
        machines.until(lambda: house.row(job_id).step >= 25)
        kill_with_others(first)

    off = threading.Thread(target=switch_off, daemon=True)
    off.start()
    machines.first.run_queued()
    off.join()
    machines.until(lambda: machines.first.devices == found(machines.settings))
    machines.first.run_queued()  # which leaves it until there are two again
    row = house.row(job_id)
    assert (row.status, row.attempt, row.stalled_attempts) == ("queued", 1, 0)
    assert row.step >= 25

    machines.companion()
    machines.run(job_id)
    row = house.row(job_id)
    assert (row.status, row.attempt, row.fence) == ("succeeded", 2, 2), row.error
    messages = [each.message for each in house.events(job_id, "message")]
    assert any(message.startswith("going on from step ") for message in messages), messages
    assert [each.step for each in house.metrics(job_id)] == list(range(121))


def test_a_companion_told_to_end_is_no_longer_counted_on(machines: Machines) -> None:
    companion = machines.companion()
    companion.terminate()
    assert companion.wait(30) == 0
    assert machines.first.devices == {"cpu": 1}
    small = machines.house.job(TRAIN | {"max_steps": 2})
    machines.run(small)
    assert machines.house.row(small).status == "succeeded"


@pytest.mark.parametrize(
    ("processes", "machines_there", "shares"),
    [(2, 2, [1, 1]), (5, 2, [3, 2]), (2, 3, [1, 1, 0]), (7, 3, [3, 2, 2])],
)
def test_processes_are_shared_out_evenly(processes: int, machines_there: int, shares: list[int]) -> None:
    given = [Hosts("10.0.0.5:29400", machines_there, number).share(processes) for number in range(machines_there)]
    assert given == shares
