"""What must be true of a job whatever befell it: told by its row, its events, its files, and its model's weights."""

from __future__ import annotations

from pathlib import Path

from app.db.tables import checkpoint, event
from app.db.tables.checkpoint import CheckpointRow
from app.db.tables.job import JobRow
from app.llm.checkpoint import load_checkpoint, load_model
from app.llm.errors import BadCheckpoint
from tests.e2e.faults.site import Site


def sound(site: Site, job_id: str, weights: str) -> JobRow:
    """The row of a job that must come to its end, with the very weights of an undisturbed one and a legal history."""
    row = site.until_status(job_id, "succeeded")
    assert site.call("GET", f"/models/{row.name}")["sha256"] == weights
    load_model(site.data / "models" / row.name)  # its files are as the hash says
    check_events(site, job_id)
    check_listed(site, job_id)
    site.until(lambda: not site.trainers(job_id))
    kept = {found.path for found in listed(site, job_id)}
    assert {folder.name for folder in (site.data / "jobs" / job_id).iterdir()} == kept
    return row


def check_events(site: Site, job_id: str) -> None:
    """One attempt at a time: each begins after the one before ended, and at a checkpoint; within one, steps grow."""
    with site.database.read() as session:
        events = event.of_job(session, job_id, 0, 1_000_000)
    runs, last, saved = False, None, {0}
    for one in events:
        if one.type == "status":
            now_runs = one.data["status"] == "running"
            assert not (runs and now_runs), f"{job_id} was begun while it ran: {one.message}"
            runs, last = now_runs, None
        elif one.type == "metrics":
            assert runs, f"{job_id}: a step was written by no holder: {one.message}"
            step = one.data["step"]
            if last is None:
                assert step in saved, f"{job_id} went on from step {step}, which no checkpoint holds"
            else:
                assert step > last, f"{job_id} went back from step {last} to {step}"
            last = step
        elif one.type == "checkpoint":
            assert runs, f"{job_id}: a checkpoint was listed by no holder: {one.message}"
            saved.add(one.data["step"])


def check_listed(site: Site, job_id: str) -> None:
    """Every checkpoint that is listed is whole; one that retention takes meanwhile is not listed any more."""
    for row in listed(site, job_id):
        folder = site.data / "jobs" / job_id / row.path
        is_whole = whole(folder, row.sha256)
        assert is_whole or row.path not in {again.path for again in listed(site, job_id)}, f"{folder} is not whole"


def whole(folder: Path, sha256: str) -> bool:
    try:
        load_checkpoint(folder, sha256)
    except BadCheckpoint:
        return False
    return True


def listed(site: Site, job_id: str) -> list[CheckpointRow]:
    with site.database.read() as session:
        return checkpoint.of_job(session, job_id)
