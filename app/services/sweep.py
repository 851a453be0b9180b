"""Puts right what the broker lost and what died: a round every few seconds, in every worker.

Any number of sweepers may run at once; each step is a compare-and-set on the jobs table.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from app.config import Settings
from app.db.session import Database
from app.db.tables import job
from app.log import get_logger
from app.services import audit, leases, validation_leases
from app.services.presence import Presence
from app.services.queue import Nudger
from app.services.storage import Storage

log = get_logger(__name__)

NUDGE_AGAIN_AFTER_S = 15.0
OLD_NUDGE_S = 3600.0  # a nudge file of this age tells nobody anything
FORGET_EVERY_S = 3600.0
OLD_SCRATCH_S = 24 * 3600.0  # what an upload that died left behind


class Sweeper:
    """Takes back jobs whose lease ran out, nudges queued ones, removes files that nobody will read."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        storage: Storage,
        nudger: Nudger,
        is_busy: Callable[[], bool] = lambda: False,
        presence: Presence | None = None,
    ) -> None:
        """Sweep for this worker.

        Args:
            is_busy: whether it runs a job now. It nudges nobody then: when it is done it looks for the next by itself,
                and with every worker busy, nudges would heap up in the broker.
            presence: of this worker, told with each round; None where there is none to tell of.
        """
        self._settings = settings
        self._database = database
        self._storage = storage
        self._nudger = nudger
        self._is_busy = is_busy
        self._presence = presence
        self._every_s = min(5.0, settings.lease_s / 3)
        self._forget_at = time.monotonic()

    def run(self, stopping: threading.Event) -> None:
        """Sweep until `stopping` is set. A database that is away for a while is waited for."""
        while True:
            try:
                self.sweep()
            except (SQLAlchemyError, OSError) as error:
                log.error("sweep_failed", error=str(error))
            if stopping.wait(self._every_s):
                break
        if self._presence is not None:
            try:
                self._presence.leave()
            except SQLAlchemyError as error:  # it is seen to be silent soon
                log.warning("worker_not_signed_off", error=str(error))

    def sweep(self) -> None:
        """One round."""
        if self._presence is not None:
            self._presence.tell()
        for taken in leases.take_back_expired(self._database, self._settings.job_attempts):
            log.warning("job_taken_back", job_id=taken.job_id, status=taken.status, reason=taken.reason)
        for taken in validation_leases.take_back_expired(self._database, self._settings.job_attempts):
            log.warning("validation_taken_back", job_id=taken.job_id, status=taken.status)
        if not self._is_busy():
            self._nudge()
        for folder, age_s in (
            (self._storage.queue / "processed", OLD_NUDGE_S),
            (self._storage.queue / "messages", OLD_NUDGE_S),
            (self._storage.scratch, OLD_SCRATCH_S),
            (self._storage.spool, OLD_SCRATCH_S),
        ):
            _remove_older(folder, age_s)
        if time.monotonic() >= self._forget_at:
            self._forget_at = time.monotonic() + FORGET_EVERY_S
            audit.forget_old(self._database, self._settings.audit_days)

    def _nudge(self) -> None:
        with self._database.write() as session:
            due = job.due_for_nudge(session, NUDGE_AGAIN_AFTER_S)
        for job_id in due:
            self._nudger.send(job_id)


def _remove_older(folder: Path, age_s: float) -> None:
    """Remove the folder's files and folders that are older; one that goes meanwhile is as good as removed."""
    if not folder.is_dir():
        return
    oldest = time.time() - age_s
    for path in folder.iterdir():
        try:
            if path.stat().st_mtime >= oldest:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink()
        except FileNotFoundError:
            continue
