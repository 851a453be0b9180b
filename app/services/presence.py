"""Which workers live and what they can run: told by each of them now and then, asked when a job waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.db.session import Database
from app.db.tables import worker
from app.db.tables.job import JobRow
from app.services import devices
from app.services.devices import Devices

FORGOTTEN_AFTER_S = 3600.0


@dataclass(frozen=True)
class Presence:
    """One worker, as others may see it."""

    database: Database
    worker_id: str
    host: str
    devices: Callable[[], Devices]

    def tell(self) -> None:
        """Write down that it lives, and forget those that have long been silent."""
        found = self.devices()
        with self.database.write() as session:
            worker.see(session, self.worker_id, self.host, found)
            worker.remove_silent(session, FORGOTTEN_AFTER_S)

    def leave(self) -> None:
        """Write down that it ends."""
        with self.database.write() as session:
            worker.remove(session, self.worker_id)


def waiting_for(session: Session, jobs: Iterable[JobRow], lease_s: float) -> dict[str, str]:
    """For each job that waits for a worker, and that no live one can run, by its id, what is not there."""
    queued = [job for job in jobs if job.status in ("validating_files", "queued")]
    there = [row.devices for row in worker.live(session, lease_s)] if queued else []
    told = {job.id: _lacking(there, job) for job in queued}
    return {job_id: lack for job_id, lack in told.items() if lack is not None}


def _lacking(there: list[Devices], job: JobRow) -> str | None:
    if not there:
        return "no worker is alive; `inkling worker` starts one"
    if any(devices.can_run(each, job.device, job.devices) for each in there):
        return None
    if job.devices == 1:
        return f"no live worker has {'a device for it' if job.device == 'auto' else job.device}"
    setting = "" if job.device == "cuda" else "; on the CPU, INKLING_CPU_DEVICES says how many"
    return f"no live worker has {job.devices} devices for it{setting}"
