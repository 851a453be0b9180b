"""Processes that are killed at random, stopped and woken, or told to end in the midst of a write."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from app.db.tables import job
from app.services.progress import FLUSH_EVERY_S
from tests.e2e.faults.conftest import Tell
from tests.e2e.faults.history import check_listed, sound
from tests.e2e.faults.site import CHECKPOINT_EVERY, FULL, LEASE_S, Site, times, wait_until_gone
from tests.process_tree import is_alive

pytestmark = [pytest.mark.e2e, pytest.mark.services]

SAME = "same weights, nothing lost"
LONGEST_WAIT_S = 4.0  # a trainer takes about so long to start, on a quiet machine


class Kills:
    """`kill -9` at random moments; there is always a job at work, and each must end as if nothing had been."""

    def __init__(self, site: Site, dice: random.Random) -> None:
        self._site, self._dice = site, dice
        self.jobs = [site.queue_job()]

    def trainer(self) -> None:
        pid = self._at_a_random_moment()
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid)
        check_listed(self._site, self.jobs[-1])

    def worker(self) -> None:
        pid = self._at_a_random_moment()
        worker = self._site.worker_of(pid)
        if worker is None:
            return self.worker()  # the trainer came to its end in that very moment
        self._site.kill_worker(worker)
        wait_until_gone(pid)
        check_listed(self._site, self.jobs[-1])
        self._site.start_worker()
        return None

    def server(self) -> None:
        """It knows nothing of trainers, and need not wait for one."""
        time.sleep(self._dice.uniform(0, 1))
        self._site.kill_server()
        self._site.start_server()

    def _at_a_random_moment(self) -> int:
        """A trainer that is alive: every other time one that starts, whatever it is doing then, else one at work."""
        site, starts = self._site, self._dice.random() < 0.5
        while True:
            if site.row(self.jobs[-1]).is_final:
                site.until_it_serves()
                self.jobs.append(site.queue_job())
            job_id = self.jobs[-1]
            beyond = None if starts else site.row(job_id).step
            site.until(partial(self._is_at_work, job_id, beyond))
            time.sleep(self._dice.uniform(0, LONGEST_WAIT_S if starts else LONGEST_WAIT_S / 4))
            for pid in site.trainers(job_id):
                return pid

    def _is_at_work(self, job_id: str, beyond_step: int | None) -> bool:
        """Whether it has a trainer, which came further than a step; or else has ended."""
        row = self._site.row(job_id)
        came = beyond_step is None or row.step > beyond_step
        return row.is_final or (row.status == "running" and came and bool(self._site.trainers(job_id)))


@pytest.mark.timeout(900 if FULL else 300)
def test_trainer_worker_and_server_are_killed_at_random_moments(
    site: Site, weights: str, dice: random.Random, tell: Tell
) -> None:
    rounds = times(1, 20)
    kills = Kills(site, dice)
    for _ in range(rounds):
        for kill in dice.sample([kills.trainer, kills.worker, kills.server], 3):
            kill()
    site.until_it_serves()
    attempts = sum(sound(site, job_id, weights).attempt for job_id in kills.jobs)
    told = f"{SAME}; {len(kills.jobs)} jobs in {attempts} attempts"
    for victim in ("trainer", "worker", "server"):
        tell(f"kill -9 of the {victim} at a random moment", rounds, told)


def in_mid_checkpoint(site: Site, job_id: str) -> int:
    """The job's trainer, stopped while a checkpoint is half written."""
    pid = site.trainer(job_id)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if half_written(site, job_id):
            os.kill(pid, signal.SIGSTOP)
            if half_written(site, job_id):
                return pid
            os.kill(pid, signal.SIGCONT)
    pytest.fail(f"no checkpoint of {job_id} was seen being written:\n{site.logs()}")


def half_written(site: Site, job_id: str) -> list[Path]:
    return list((site.data / "jobs" / job_id).glob(".step-*"))


@pytest.mark.timeout(600 if FULL else 300)
def test_signals_in_mid_checkpoint(site: Site, weights: str, tell: Tell) -> None:
    rounds = times(1, 4)
    for _ in range(rounds):
        job_id = site.queue_job()
        for number in (signal.SIGTERM, signal.SIGKILL):
            pid = in_mid_checkpoint(site, job_id)
            check_listed(site, job_id)
            os.kill(pid, number)
            if number == signal.SIGTERM:  # heard once it is awake
                os.kill(pid, signal.SIGCONT)
            wait_until_gone(pid)
            check_listed(site, job_id)
        row = sound(site, job_id, weights)
        assert row.attempt == 3
    tell("SIGTERM in mid-checkpoint", rounds, f"{SAME}; it was finished, and the job given back at no cost")
    tell("kill -9 in mid-checkpoint", rounds, f"{SAME}; the half-written folder was never listed, and is gone")


@pytest.mark.timeout(600 if FULL else 300)
def test_a_trainer_that_sleeps_beyond_its_lease_wakes_to_a_job_that_is_anothers(
    site: Site, weights: str, tell: Tell
) -> None:
    rounds = times(1, 3)
    stops = [stop_anywhere] * rounds + [stop_in_a_write] * times(0, 2)
    for stop in stops:
        job_id = site.queue_job()
        site.until_step(job_id, CHECKPOINT_EVERY)
        pid = stop(site, job_id)
        site.until(lambda job_id=job_id: site.row(job_id).fence == 2)
        os.kill(pid, signal.SIGCONT)
        row = sound(site, job_id, weights)
        assert (row.fence, row.attempt) == (2, 2)
        assert not is_alive(pid)
    slept = f"SIGSTOP of a trainer past its lease of {LEASE_S:.0f} s, then SIGCONT"
    tell(slept, rounds, f"{SAME}; it wrote nothing more")
    if FULL:
        tell(f"{slept}, while it held its job's row", 2, f"{SAME}; the row was freed within ten seconds")


def stop_anywhere(site: Site, job_id: str) -> int:
    pid = site.trainer(job_id)
    os.kill(pid, signal.SIGSTOP)
    return pid


def stop_in_a_write(site: Site, job_id: str) -> int:
    """Stop the trainer while it waits for its row; it gets it in its sleep."""
    with site.database.write() as session:
        job.lock(session, job_id)
        time.sleep(2 * FLUSH_EVERY_S)
        return stop_anywhere(site, job_id)
