"""Nudges that come twice, to two workers at once, or never; a broker that is away, or has forgotten everything."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from app.config import Settings
from app.services.queue import Nudger, make_celery
from app.services.sweep import NUDGE_AGAIN_AFTER_S
from tests.e2e.faults.conftest import Tell
from tests.e2e.faults.history import sound
from tests.e2e.faults.site import FULL, Site, times

pytestmark = [pytest.mark.e2e, pytest.mark.services]


@contextmanager
def workers_stopped(site: Site) -> Iterator[None]:
    """Nobody hears of what is queued inside; all do at once afterwards."""
    for worker in site.workers:
        os.kill(worker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in site.workers:
            os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.timeout(600 if FULL else 300)
def test_two_workers_race_for_a_job_that_both_were_told_of_many_times(site: Site, weights: str, tell: Tell) -> None:
    nudges, rounds = times(10, 50), times(1, 4)
    celery = make_celery(Settings(_env_file=None, data_dir=site.data, broker_url=site.redis.url))
    for _ in range(rounds):
        with workers_stopped(site):
            job_id = site.queue_job()
            for _ in range(nudges):
                Nudger(celery).send(job_id)
        row = sound(site, job_id, weights)
        assert (row.attempt, row.fence) == (1, 1)
    celery.close()
    tell("a nudge delivered many times over", rounds * nudges, "one attempt, same weights")
    tell("two workers racing for one job", rounds, "one attempt, same weights")


@pytest.mark.timeout(600 if FULL else 300)
def test_a_broker_that_is_away_or_wiped_loses_no_job(site: Site, weights: str, tell: Tell) -> None:
    rounds = times(1, 3)
    for _ in range(rounds):
        site.redis.stop()
        untold = site.queue_job()
        site.redis.start()
        with workers_stopped(site):
            site.redis.hang_up()  # whoever waits at the broker would be given the nudge, asleep or not
            wiped = site.queue_job()
            assert site.redis.wipe() > 0
        if not FULL:  # else it is waited for
            site.let_nudges_grow_old(NUDGE_AGAIN_AFTER_S)
        for job_id in (untold, wiped):
            assert sound(site, job_id, weights).attempt == 1
    tell("broker killed and started again, a job queued meanwhile", rounds, "ran once, same weights")
    tell("broker wiped (FLUSHALL) with a nudge in it", rounds, "ran once, same weights")
