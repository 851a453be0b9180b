"""What jobs rest on: a database that goes and comes back, or back in time; a disk that fills; another clock."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.faults.conftest import Tell
from tests.e2e.faults.history import check_listed, listed, sound
from tests.e2e.faults.site import CHECKPOINT_EVERY, FULL, LEASE_S, Site, times

pytestmark = [pytest.mark.e2e, pytest.mark.services]

SAME = "same weights, nothing lost"


@pytest.mark.timeout(600 if FULL else 300)
def test_a_database_that_is_cut_off_and_comes_back(site: Site, weights: str, tell: Tell) -> None:
    away_s, rounds = times(1, 10), times(1, 2)
    attempts = 0
    for _ in range(rounds):
        job_id = site.queue_job()
        site.until_step(job_id, CHECKPOINT_EVERY)
        site.postgres.stop()
        began = time.monotonic()
        answer = httpx.get(f"http://127.0.0.1:{site.port}/jobs/{job_id}", timeout=30)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_ready")
        time.sleep(max(0.0, away_s - (time.monotonic() - began)))
        site.postgres.start()
        attempts += sound(site, job_id, weights).attempt
    tell(f"database ended and started {away_s} s later, a lease of {LEASE_S:.0f} s", rounds,
         f"{SAME}; {attempts} attempts")  # fmt: skip


@pytest.mark.timeout(600 if FULL else 300)
def test_a_full_disk_pauses_the_job(site: Site, weights: str, tell: Tell) -> None:
    rounds = times(1, 2)
    for _ in range(rounds):
        job_id = site.queue_job()
        site.until_step(job_id, CHECKPOINT_EVERY)
        [newest, *_] = site.until(lambda job_id=job_id: listed(site, job_id))
        site.fill_disk(site.trainer(job_id), leave_bytes=newest.size_bytes // 2)
        row = site.until_status(job_id, "paused")
        assert row.error is not None
        assert row.error["code"] == "no_disk_space"
        check_listed(site, job_id)
        site.make_room()
        site.call("POST", f"/jobs/{job_id}/resume")
        assert sound(site, job_id, weights).attempt == 2
    how = "a tmpfs filled up" if site.has_small_disk else "RLIMIT_FSIZE, as nothing could be mounted"
    tell(f"disk full ({how})", rounds, f"paused with no_disk_space, resumed once there was room; {SAME}")


@pytest.mark.timeout(600 if FULL else 300)
def test_a_database_restored_from_a_backup_while_the_files_are_newer(
    site: Site, weights: str, tmp_path: Path, tell: Tell
) -> None:
    rounds = times(1, 2)
    for _ in range(rounds):
        job_id = site.queue_job()
        site.until_step(job_id, CHECKPOINT_EVERY)
        site.until(lambda job_id=job_id: listed(site, job_id))
        site.postgres.back_up(tmp_path / "backup")
        site.until_status(job_id, "succeeded")
        site.stop()
        site.postgres.restore(tmp_path / "backup")
        assert site.row(job_id).status == "running"
        site.start()
        assert sound(site, job_id, weights).attempt == 2
    tell("database restored from a backup made in mid-run, the files of the end still there", rounds,
         f"the job ran to its end once more; {SAME}")  # fmt: skip


@pytest.mark.timeout(600 if FULL else 300)
def test_a_server_whose_clock_is_another(site: Site, weights: str, tmp_path: Path, tell: Tell) -> None:
    offset = tmp_path / "offset"
    offsets = ["+1h", "-1h"][: times(1, 2)]
    for one in offsets:
        offset.write_text(one)
        site.kill_server()
        site.start(workers=0, **faked(offset))
        assert sound(site, site.queue_job(), weights).attempt == 1
    site.kill_server()
    site.start(workers=0)
    tell(f"clock of the server alone set by {', '.join(offsets)}", len(offsets), "one attempt, same weights")


def faked(offset: Path) -> dict[str, str]:
    """The environment in which Debian's faketime adds what `offset` says to the clock, whenever it is asked.

    How long something takes is measured by another clock, which stays as it is.
    """
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
    if not found or shutil.which("gcc") is None:
        pytest.skip("needs faketime and gcc")
    sleep = offset.with_name("real_sleep.so")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", sleep, Path(__file__).with_name("real_sleep.c")], check=True)
    return {
        "LD_PRELOAD": f"{sleep} {found[0]}",
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
