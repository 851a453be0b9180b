"""Jobs of two devices: real trainers under torchrun, gloo between them, and what befalls them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch

from app.config import Settings
from app.db.session import Database
from tests.process_tree import command, is_alive, started_by
from tests.services.test_training import House, equal, house_on
from workers.supervise import Supervisor

pytestmark = pytest.mark.timeout(600)  # two processes and the tests beside them, on two cores

TRAIN = {
    "max_steps": 400,
    "batch_size": 4,
    "accumulate": 2,
    "eval_every": 100,
    "sample_every": 200,
    "checkpoint_every": 20,
    "learning_rate": 0.001,
}


class Site:
    """A worker's supervisor in this process, and its trainers in others."""

    def __init__(self, house: House, settings: Settings) -> None:
        self.house, self.settings = house, settings
        self.supervisor = Supervisor(settings, house.database)

    def until(self, is_so: Callable[[], bool], timeout_s: float = 120) -> None:
        """Run what is queued, again and again, until it is so."""
        deadline = time.monotonic() + timeout_s
        while not is_so():
            assert time.monotonic() < deadline
            self.supervisor.run_queued()
            time.sleep(0.05)

    def run(self, job_id: str) -> None:
        self.until(lambda: self.house.row(job_id).status not in ("queued", "running"))

    def wait_for_step(self, job_id: str, step: int) -> None:
        while self.house.row(job_id).step < step:
            time.sleep(0.02)


def ranks() -> list[int]:
    """Process ids of the running trainers, the launcher not counted, oldest first."""
    return [pid for pid in sorted(started_by(os.getpid())) if " -u -m workers.trainer " in f"{command(pid)} "]


@pytest.fixture
def site(settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    chosen = settings.model_copy(update={"cpu_devices": 2, "lease_s": 30.0})
    for name in ("data_dir", "assets_dir", "cpu_devices", "lease_s"):
        monkeypatch.setenv(f"INKLING_{name.upper()}", str(getattr(chosen, name)))
    monkeypatch.setenv("INKLING_DATABASE_URL", database.url.render_as_string(hide_password=False))
    for house in house_on(chosen, database):
        yield Site(house, chosen)


def test_two_processes_killed_and_shut_down_give_the_weights_of_two_left_alone(site: Site) -> None:
    """Bit for bit, with dropout: each process's generator is in the checkpoints."""
    house = site.house
    site.run(house.job(TRAIN, devices=2, name="left-alone"))
    job_id = house.job(TRAIN, devices=2, name="disturbed")
    killed: list[int] = []
    resumed_at: list[int] = []

    def kill_the_second() -> None:
        killed.extend(ranks())
        os.kill(killed[1], signal.SIGKILL)

    def disturb() -> None:
        site.wait_for_step(job_id, 30)
        kill_the_second()
        while house.row(job_id).attempt == 1:
            time.sleep(0.02)
        assert not any(is_alive(pid) for pid in killed)
        resumed_at.append(house.row(job_id).step)
        site.wait_for_step(job_id, resumed_at[0] + 40)
        site.supervisor.stop()

    disturbing = threading.Thread(target=disturb, daemon=True)
    disturbing.start()
    site.until(lambda: house.row(job_id).attempt == 2 and house.row(job_id).status != "running")
    disturbing.join()
    row = house.row(job_id)
    assert len(killed) == 2
    assert 20 <= resumed_at[0] < row.step < 400
    assert row.status == "queued"
    # Asked to end, the two came to one step, and saved it; it is told of once the run goes on.
    assert house.checkpoints(job_id)[0].step in (row.step, row.step + 1)
    assert ranks() == []

    site.supervisor = Supervisor(site.settings, house.database)
    site.run(job_id)
    assert (house.row(job_id).status, house.row(job_id).attempt) == ("succeeded", 3)
    assert equal(house.weights("disturbed"), house.weights("left-alone"))
    steps = [entry.step for entry in house.metrics(job_id)]
    assert steps == list(range(401))


@pytest.mark.parametrize("shard", ["auto", "always"])
def test_two_processes_learn_what_one_does(site: Site, shard: str) -> None:
    house = site.house
    train = TRAIN | {"max_steps": 20}
    model = {"preset": "gpt-tiny", "drop_rate": 0.0}
    two = house.job(train | {"shard": shard}, devices=2, name="two", model=model)
    site.run(two)
    assert house.row(two).status == "succeeded", house.row(two).error
    one = house.job(train, devices=1, name="one", model=model)
    house.run()
    assert house.row(one).status == "succeeded"
    both = zip(house.metrics(one), house.metrics(two), strict=True)
    for alone, together in both:
        assert together.step == alone.step
        assert together.tokens == alone.tokens
        for figure in ("loss", "val_loss", "grad_norm"):
            ours, theirs = getattr(together, figure), getattr(alone, figure)
            assert (ours is None) == (theirs is None)
            assert ours is None or ours == pytest.approx(theirs, rel=1e-4)
    start = next(entry for entry in house.events(two, "message") if "weights for" in entry.message)
    assert (start.data["devices"], "on 2 × cpu" in start.message) == (2, True)
    is_sharded = shard == "always"
    assert (start.data["sharded"], start.message.endswith("which divide them")) == (is_sharded, is_sharded)
    ours, theirs = house.weights("two"), house.weights("one")
    assert list(ours) == list(theirs)
    for name, weight in theirs.items():
        assert torch.allclose(ours[name], weight, atol=1e-4), name
    assert len(house.checkpoints(two)) == len(house.checkpoints(one)) > 0
    assert [row.size_bytes for row in house.checkpoints(two)] == pytest.approx(
        [row.size_bytes for row in house.checkpoints(one)], rel=0.05
    )


def test_a_divided_network_whose_second_process_is_killed_ends_as_one_left_alone(site: Site) -> None:
    """Bit for bit, with dropout, after all ended with it and went on from a whole checkpoint."""
    house, train = site.house, TRAIN | {"max_steps": 60, "shard": "always"}
    site.run(house.job(train, devices=2, name="left-alone"))
    job_id = house.job(train, devices=2, name="disturbed")
    killed: list[int] = []

    def disturb() -> None:
        site.wait_for_step(job_id, 30)
        killed.extend(ranks())
        os.kill(killed[1], signal.SIGKILL)

    disturbing = threading.Thread(target=disturb, daemon=True)
    disturbing.start()
    site.run(job_id)
    disturbing.join()
    assert (house.row(job_id).status, house.row(job_id).attempt) == ("succeeded", 2)
    assert len(killed) == 2
    assert not any(is_alive(pid) for pid in killed)
    assert equal(house.weights("disturbed"), house.weights("left-alone"))
    assert [entry.step for entry in house.metrics(job_id)] == list(range(61))


def test_a_job_of_two_devices_that_is_refused_late_ends_both_and_says_why(site: Site) -> None:
    house = site.house
    job_id = house.job(TRAIN | {"batch_size": 5}, devices=2)
    site.run(job_id)
    row = house.row(job_id)
    assert (row.status, row.attempt) == ("failed", 1)
    assert row.error is not None
    assert (row.error["code"], row.error["param"]) == ("invalid_value", "train.batch_size")
    assert ranks() == []
